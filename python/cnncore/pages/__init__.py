# SPDX-License-Identifier: Apache-2.0
"""Pages about models: a report in one file, and one to explore a model with."""
