# SPDX-License-Identifier: Apache-2.0
"""What a graph is: tensors, operations and nodes, tracing, and what the compiler asks of everything above."""
