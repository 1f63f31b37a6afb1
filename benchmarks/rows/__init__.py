# SPDX-License-Identifier: Apache-2.0
"""Single layers against peers: a row a convolution and direction, or a row an operation."""
