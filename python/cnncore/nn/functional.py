# SPDX-License-Identifier: Apache-2.0
"""The functions of `cnncore.ops` under torch's address: ``from cnncore.nn import functional as F``.

>>> import numpy as np
>>> from cnncore.nn import functional as F
>>> F.relu(np.array([-1.0, 2.0])).tolist()
[0.0, 2.0]
"""

from ..ops import *  # noqa: F403
from ..ops import __all__ as __all__
