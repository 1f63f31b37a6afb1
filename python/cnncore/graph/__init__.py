# SPDX-License-Identifier: Apache-2.0
"""The compiler: tracing, differentiation, fusion, memory planning and programs."""
