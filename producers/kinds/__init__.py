"""One file a pool kind: what its events are, how a pool of it is proven, what it is asked, who says its fee.

Everything that is particular to a contract family stands in its file; the decoders, the subscription, verification,
snapshots, tick maps, the lookalike rule, event filters and chain files derive from it.

Adding a kind takes
    1. a file here with a KIND (`producers.kinds.kind.PoolKind`; `uniswap_v3.py` is the model), and its line below;
       its code in tlv.codes.Protocol.  Or a file of your own anywhere, with a code from 128 on;
    2. lines in a chain file: its factories (`protocol` is the kind's name), and for a file of your own also
       `kinds = ["my_kind.py"]`, relative to the chain file.  Such a file is code and runs as you;
    3. tests: tests/producers/kinds walks every registered kind; add real logs of it, held against eth-abi
       (tests/producers/decode/abi_oracle.py, tools/validate/abi.py);
    4. `alphapulse kinds --write`, which renews the tables of docs/coverage.md and README.md; `quotes` and `proven` are
       words for these.

A declaration that lacks a part, names a field that its record does not have, or claims another kind's event, is
refused here, at import, by kind and field.
"""

from producers.kinds import (
    algebra,
    algebra_integral,
    balancer_v2,
    curve,
    dodo,
    kyber_elastic,
    pancakeswap_v3,
    slipstream,
    solidly,
    uniswap_v2,
    uniswap_v3,
    uniswap_v4,
    velodrome,
    woofi,
)
from producers.kinds.registry import register

for _module in (
    *(uniswap_v2, uniswap_v3, algebra, algebra_integral, uniswap_v4, slipstream),
    *(solidly, velodrome, balancer_v2, curve, dodo, pancakeswap_v3, kyber_elastic, woofi),
):
    register(_module.KIND)
