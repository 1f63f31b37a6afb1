# SPDX-License-Identifier: Apache-2.0
"""The version; the build reads it here, too."""

__version__ = "0.1.0"
