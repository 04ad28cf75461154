"""What a refusal means: one table of the codes and words that providers use.

Owns the table, and nothing else: `producers.node.meanings` reads a refusal by it, and whoever asked acts on it.  What
the table does not know is TRANSIENT, and no refusal but a REVERT says anything of a contract.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class Meaning(StrEnum):
    """What follows from a refused request."""

    REVERT = "revert"
    """The contract itself refused."""
    RATE = "rate"
    """Too many requests: slower."""
    QUOTA = "quota"
    """The account's share is used up, or there is no account: elsewhere, or much later."""
    RANGE = "range"
    """Too many blocks or logs at once: fewer."""
    SIZE = "size"
    """The answer of even one block is too large: in parts."""
    POLICY = "policy"
    """This endpoint never answers that: differently, or elsewhere."""
    UNSUPPORTED = "unsupported"
    """A method or a form of its parameters that this software does not know: differently."""
    PRUNED = "pruned"
    """The state of that block is gone: at a later block."""
    TRANSIENT = "transient"
    """Again, after a pause.  Never evidence."""


class Wording(NamedTuple):
    """One refusal as it was seen."""

    provider: str
    code: int
    message: str
    meaning: Meaning
    source: str
    """Repository and number of an issue or pull request, a documentation page, or a file."""
    phrase: str = ""
    """What of the message tells, written as `producers.node.meanings.stems` gives it; "" if its code or a rule does."""


TABLE = """
revert | Geth | 3 | go-ethereum internal/ethapi/errors.go |
    execution reverted: UniswapV2: LOCKED
revert | Geth | -32000 | go-ethereum core/vm/errors.go |
    invalid opcode: INVALID
revert | Besu | -32000 | besu-eth/besu#4192 |
    Execution reverted
revert | Erigon | -32000 | erigontech/erigon#6391 |
    execution reverted
revert | Ganache | -32000 | cowprotocol/ethcontract-rs#92 |
    VM Exception while processing transaction: revert
revert | RSK | -32015 | rsksmart/tokenbridge#328 |
    VM Exception while processing transaction: revert AllowTokens: Lower than limit
revert | Hardhat | -32603 | NomicFoundation/hardhat#1935 |
    Error: Transaction reverted without a reason string
revert | Nethermind | -32015 | erpc architecture/evm/error_normalizer.go |
    VM execution error. revert
quota | Alchemy | -32000 | a16z/zkdocs#9 | monthly capacity
    Monthly capacity limit exceeded. Visit https://dashboard.alchemyapi.io/settings/billing to upgrade your
    scaling policy for continued service.
quota | Infura | -32005 | gochain/web3#180 | daily request count
    daily request count exceeded, request rate limited
quota | Ankr | -32000 | BitteProtocol/near-ca#173 | must authenticate your request
    Unauthorized: You must authenticate your request with an API key. Create an account on
    https://www.ankr.com/rpc/ and generate your personal API key for free.
quota | Ankr | -32052 | wevm/viem#3476 | not allowed to acces
    API key is not allowed to access blockchain
quota | dRPC | 10 | subsquid/squid-sdk#504 | user balance exceeded
    User balance exceeded
quota | NodeReal | -32005 | bnb-chain/bnb-chain.github.io#38 | usage limit
    You have reached the maximum API usage limit of public. If you need higher throughput, please check out
    https://meganode.nodereal.io/
quota | BlockVision | -32607 | docs.blockvision.org/reference/error-code-reference | upgrade your subscription
    The call limit has been reached, please upgrade your subscription
policy | publicnode | -32701 | quoted by 8 repositories on GitHub | specify an addres
    Please specify an address in your request or, to remove restrictions, order a dedicated full node here:
    https://www.allnodes.com/eth/host
policy | proxyd | -32001 | ethereum-optimism/optimism#5717 | not whitelisted
    rpc method is not whitelisted
policy | Forest | -32602 | ChainSafe/forest#6134 | missing field addres
    error deserializing parameter {"error":"missing field `address`"}
unsupported | Geth | -32601 | blockscout/blockscout#7339 | doe not exist i not available
    the method txpool_content does not exist/is not available
unsupported | Nethermind | -32601 | NethermindEth/nethermind#3084 |
    Method eth_subscribe is not supported
unsupported | Geth | -32000 | ethereum/go-ethereum#14341 | notification not supported
    notifications not supported
unsupported | Wasp | -32602 | iotaledger/wasp-legacy#486 | hex string without xx
    invalid argument 1: hex string without 0x prefix
unsupported | Oasis | -32602 | oasisprotocol/oasis-web3-gateway#132 | hex number # bit
    invalid argument 1: hex number > 64 bits
unsupported | Axon | -32602 | axonweb3/axon#1228 | invalid block hash
    Invalid block hash: 24d0ffa278f465cd at line 2 column 91
unsupported | Ganache | -32700 | ConsenSys-archive/ganache#973 | object object
    Cannot convert string to buffer. toBuffer only supports 0x-prefixed hex strings and this string was given:
    0x[object Object]
unsupported | Wasp | -32000 | iotaledger/wasp-legacy#508 | block other than the latest
    EVMEmulator cannot access blocks other than the latest block
unsupported | Parity | -32602 | openethereum/parity-ethereum#9256 | unknown field
    Invalid params: unknown field `blockHash`, expected one of fromBlock, toBlock, address, topics
pruned | Geth | -32000 | ethereum/go-ethereum#16471 | missing trie node
    missing trie node b03d68ac51042467d7637d4ef9e1c52370abc410 (path )
pruned | Geth | -32000 | blockscout/blockscout#1433 | historical state unavailable
    required historical state unavailable (reexec=128)
pruned | Geth | 4444 | ethereum/go-ethereum#31939 | pruned history
    pruned history unavailable
pruned | reth | -32603 | paradigmxyz/reth#4092 | i pruned
    State at block #11052984 is pruned
pruned | Erigon | -32000 | erigontech/erigon#13198 | data before txnum
    state transitaion failed: seek with txNum=1962853355 but data before txNum=2662500000 is not available:
    blockNum=16999999
pruned | Nethermind | -32603 | NethermindEth/nethermind#9408 | missingtrienodeexception
    Internal error Nethermind.Trie.MissingTrieNodeException: Node A: P:2 H:0x992e is missing from the DB
pruned | Parity | -32000 | openethereum/parity-ethereum#11594 | state pruning
    This request is not supported because your node is running with state pruning. Run with --pruning=archive.
transient | Infura | -32000 | MetaMask/metamask-extension#7234 | header not found
    header not found
transient | Bor | -32000 | maticnetwork/bor#939 | unknown block
    unknown block
transient | Base | -32011 | hemilabs/heminetwork#491 | currently healthy
    no backend is currently healthy to serve traffic
transient | proxyd | -32019 | ethereum-optimism/optimism#17688 | block i out of range
    block is out of range
transient | dRPC | 30 | enviodev/hyperindex#715 | request timeout on the free
    Request timeout on the free tier, please upgrade your tier to the paid one
transient | dRPC | 19 | quoted by 6 repositories on GitHub | temporary internal error
    Temporary internal error. Please retry, trace-id: d13566efdd917dc22e5249387856f00d
transient | dRPC | -32602 | erpc thirdparty/drpc.go | invalid block range
    invalid block range
transient | anvil | -32602 | foundry-rs/foundry#10709 | blockoutofrangeerror
    BlockOutOfRangeError: block height is 105 but requested was 106
transient | Hardhat | -32000 | hardhat packages/hardhat-core, base.ts | received invalid block tag
    Received invalid block tag 44. Latest block number is 38
transient | Besu | -32000 | besu-eth/besu#4192 | block not found
    Block not found
transient | Alchemy | -32001 | subsquid/squid-sdk#504 | unable to complete request
    Unable to complete request at this time.
transient | Nethermind | -32603 | NethermindEth/nethermind#9408 |
    Internal error
transient | Geth | -32000 | go-ethereum core/vm | execution aborted
    execution aborted (timeout = 5s)
range | Alchemy | -32602 | bancorprotocol/webapp#523 | response size exceeded
    Log response size exceeded. Please reduce query block range.
range | Alchemy | -32600 | cartesi/rollups-node#655 | block range should work
    You can make eth_getLogs requests with up to a 500 block range. Based on your parameters, this block range
    should work: [0x7e9b85, 0x7e9d78]
range | Infura | -32005 | INFURA/infura#237 | returned more than # result
    query returned more than 10000 results
range | Infura | -32602 | INFURA/infura#237 | range # exceed limit
    range 1000000 exceeds limit of 10000
range | Infura | -32005 | docs.infura.io eth_getLogs constraints | query timeout
    query timeout exceeded
range | QuickNode | -32614 | erpc thirdparty/quicknode.go | limited to a # range
    eth_getLogs is limited to a 10,000 range
range | Ankr | -32600 | ponder getLogsRetryHelper.ts | block range i too wide
    block range is too wide
range | dRPC | 35 | quoted by 2 repositories on GitHub | range over # block
    ranges over 10000 blocks are not supported on freetier
range | Chainstack | -32602 | matter-labs/zksync-era#2974 | block range limit
    Block range limit exceeded. See more details at https://docs.chainstack.com/docs/limits#evm-range-limits
range | publicnode | -32602 | ponder getLogsRetryHelper.ts | maximum block range
    exceed maximum block range: 50000
range | BlockPI | -32602 | ponder getLogsRetryHelper.ts | limited to # block
    eth_getLogs is limited to 1024 block range
range | Blast | -32600 | ponder getLogsRetryHelper.ts | exceed the range allowed
    request exceeds the range allowed for your plan (5001 > 500)
range | Base | -32614 | ponder getLogsRetryHelper.ts | limit the query to
    please limit the query to at most 1000 blocks
range | Optimism | -32020 | ponder getLogsRetryHelper.ts | response too large
    backend response too large
range | 1RPC | -32000 | ponder getLogsRetryHelper.ts | response size should not
    response size should not greater than 10000000 bytes
range | Tenderly | -32602 | bobanetwork/boba_legacy#827 | bigger than range limit
    invalid params {"payload":"range 9009594 is bigger than range limit 2000"}
range | Morph | -32000 | enviodev/hyperindex#605 | larger than max block range
    block range is larger than max block range, block range = 5120, max block range = 5000
range | Nethermind | -32005 | nethermind JsonRpc tests, EthRpcModule | too many log
    Too many logs requested. Max logs per response is 20000.
range | Besu | -32005 | besu RpcErrorType.java | exceed maximum rpc range
    Requested range exceeds maximum RPC range limit
range | reth | -32602 | base/base#2421 | exceed max result
    query exceeds max results 20000, retry with the range 25766988-25775072
range | reth | -32602 | circlefin/arc-node#383 | exceed max block range
    Query exceeds max block range of 10000
range | Erigon | -32000 | erigontech/erigon#19721 | narrow your filter
    query returns too many logs, narrow your filter: 20000
range | Erigon | -32000 | erigontech/erigon#19721 | range exceed server limit
    query block range exceeds server limit, narrow your filter: 1000
range | BSC | -32005 | MASQ-Project/MASQ-Node-issues#585 | block range too large
    eth_getLogs block range too large, range: 855077, max: 3500
range | BSC | -32005 | bnb-chain/bsc#1215 |
    limit exceeded
range | Energy Web | -32005 | energywebfoundation/origin#2378 | requested more than # block
    Limit exceeded: Query requested more than 10.000 blocks
range | Candle | -32600 | AlphaWallet/alpha-wallet-ios#5277 | block range too high
    block range too high
size | reth | -32008 | paradigmxyz/reth#6268 | response i too big
    Response is too big Exceeded max limit of 157286400
rate | Alchemy | 429 | Synthetixio/kwenta#40 | compute unit per second
    Your app has exceeded its compute units per second capacity. If you have retries enabled, you can safely
    ignore this message.
rate | Infura | -32005 | status-im/status-go#4807 | rate limit
    exceeded project rate limit
rate | Infura | -32005 | docs.infura.io rate limits | request rate exceeded
    project ID request rate exceeded
rate | QuickNode | -32007 | foundry-rs/foundry#4894 | second request limit
    100/second request limit reached - reduce calls per second or upgrade your account at quicknode.com
rate | QuickNode | -32012 | latticexyz/mud#1522 | credit limited to
    credits limited to 6000/sec
rate | Ankr | -32090 | tests/data/PROVENANCE.md | too many request
    Too many requests, reason: call rate limit exhausted, retry in 10s
rate | dRPC | 15 | quoted by 2 repositories on GitHub | too many request
    Too many request, try again later
rate | Chainstack | -32005 | dank_mids, response types | rp limit
    You've exceeded the RPS limit available on the current plan.
rate | Base | -32016 | base/node#368 | rate limit
    over rate limit
rate | Tenderly | -32005 | fluencelabs/dev-rewards#20 | rate limit
    rate limit exceeded
rate | BlockVision | -32605 | docs.blockvision.org/reference/error-code-reference | too many request
    Too many requests were made, these requests are be limited.
"""
"""A row: meaning | provider or software | code | where it was seen | phrase that tells, and below it the message."""


def _rows(table: str) -> tuple[Wording, ...]:
    rows = []
    for block in re.split(r"\n(?! )", table.strip()):
        first, *message = block.split("\n")
        meaning, provider, code, source, phrase = (part.strip() for part in first.split("|"))
        text = " ".join(line.strip() for line in message)
        rows.append(Wording(provider, int(code), text, Meaning(meaning), source, phrase))
    return tuple(rows)


WORDINGS = _rows(TABLE)
REVERT, RATE, QUOTA, RANGE, SIZE, POLICY, UNSUPPORTED, PRUNED, TRANSIENT = Meaning
CODES: dict[int, Meaning] = {
    3: REVERT,
    429: RATE,
    15: RATE,
    19: TRANSIENT,
    30: TRANSIENT,
    -32003: RATE,
    -32005: RATE,
    -32007: RATE,
    -32009: RATE,
    -32012: RATE,
    -32605: RATE,
    -32607: QUOTA,
    -32052: QUOTA,
    402: QUOTA,
    -32614: RANGE,
    35: RANGE,
    -32008: SIZE,
    -32701: POLICY,
    -32601: UNSUPPORTED,
    -32004: UNSUPPORTED,
    4444: PRUNED,
}
"""What a code alone means, where no words tell.  -32000, -32602 and -32603 are used for everything."""
