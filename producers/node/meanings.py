"""Reading a refusal: from its code and words to what it means.

Owns the order in which codes and words are looked at.  It must never act on the result.

    1  a revert, by its code or by how it begins: a contract may revert with any words, those of a rate limit among them
    2  a phrase of `producers.node.refusals.WORDINGS`, in the order of `PRECEDENCE`; then the same with one letter off
    3  a rule, for what is worded as limits usually are
    4  the code alone
    5  TRANSIENT

Words are compared without case, punctuation, numbers and plural endings.  Neither a rule nor a near miss is ever enough
for a REVERT, or for PRUNED: what they mean may hide a pool.
"""

from __future__ import annotations

import re
from functools import lru_cache

from producers.node.refusals import CODES, WORDINGS, Meaning

LONGEST_READ = 1024
"""Characters of a refusal that are looked at; data members hold stack traces."""
PRECEDENCE = (
    Meaning.QUOTA,
    Meaning.POLICY,
    Meaning.TRANSIENT,
    Meaning.PRUNED,
    Meaning.UNSUPPORTED,
    Meaning.SIZE,
    Meaning.RANGE,
    Meaning.RATE,
)
"""Earlier ones are the more special: "daily request count exceeded, request rate limited" is no RATE."""
REVERTS = re.compile(
    r"(?:(?:error|err|returned error|rpc error|message|jsonrpcerror)\W+)*"
    r"(?:execution reverted|vm exception while processing transaction|transaction reverted|reverted?\b(?:$|\W*0x)"
    r"|contract.revert.executed|contract call reverted|call reverted|reverted with "
    r"|invalid opcode|out of gas\b|invalid jump destination|stack underflow|stack limit reached|write protection$"
    r"|return data out of bounds|evm error:? ?(?:invalid|stack|outofgas|opcode|revert))",
    re.IGNORECASE,
)
"""How the errors of what runs contracts begin: Geth's core/vm/errors.go, and what other clients make of it."""
VM_ERROR_CODE = -32015
"""OpenEthereum's and Nethermind's "VM execution error"; others use the number for a node that timed out."""
VM_ERROR = re.compile(r"\W*(?:vm execution error|reverted?\b|bad instruction|bad jump|out of)", re.IGNORECASE)
RULES: tuple[tuple[Meaning, re.Pattern[str]], ...] = (
    (
        Meaning.QUOTA,
        re.compile(
            r"(?:daily|monthly|per day|per month|hourly|quota|billing|balance|credit|payment|subscription)\b.*"
            r"(?:exceed|exhaust|reached|used up|required|deplet|limit|count)"
            r"|(?:exceed|exhaust|reached|used up|out of|ran out)\w*\b.*"
            r"(?:daily|monthly|quota|credit|balance|(?:request )?per (?:day|month))"
            r"|unauthori[sz]ed|invalid (?:api|project|acces) (?:key|id|token)|payment required|token i invalid"
            r"|api key (?:i )?(?:invalid|disabled|expired)"
        ),
    ),
    (
        Meaning.POLICY,
        re.compile(
            r"(?:specify|provide|missing|requir\w*|without|need)\b.{0,24}\baddre\w*"
            r"|addre\w* (?:filter )?(?:i )?required"
            r"|not (?:available|included|supported|allowed|enabled) (?:on|in|for|with) (?:your|the|thi) "
            r"(?:\w+ )?(?:plan|tier)|not whitelisted|upgrade to (?:a )?paid|forbidden"
        ),
    ),
    (
        Meaning.TRANSIENT,
        re.compile(r"out of range|beyond (?:the )?(?:current )?head|not yet available|(?:future|later) block"),
    ),
    (
        Meaning.UNSUPPORTED,
        re.compile(
            r"method (?:\w+ )?(?:i )?not (?:found|supported|available|enabled|implemented)|unknown field"
            r"|unsupported (?:method|parameter)|(?:doe not|not) (?:exist|supported|implemented)\b.*method"
            r"|method\b.*(?:doe not exist|not supported|disabled)|cannot unmarshal (?:object|non string)"
            r"|expected a string|invalid type (?:map|object)"
        ),
    ),
    (
        Meaning.RANGE,
        re.compile(
            r"\brange\b.*(?:too|max|exceed|limit|larger|bigger|greater|wide|allowed|most|over|reduce|smaller|narrow)"
            r"|(?:max|exceed|limit|large|reduce|smaller|narrow|too|most|allowed|up to)\w*\b.*\b(?:block )?range\b"
            r"|too many (?:\w+ )?(?:block|log|result|event)|(?:max|limit|exceed)\w* .{0,16}# (?:block|log|result|event)"
            r"|(?:more|greater|larger|over) than (?:\w+ )?# (?:block|log|result|event)|(?:block|log|result|event) limit"
            r"|(?:response|result|answer|payload|query)\b.{0,24}(?:too (?:large|big|many)|size|exceed)"
        ),
    ),
    (
        Meaning.RATE,
        re.compile(
            r"\brate\b.{0,12}(?:limit|exceed)|(?:limit|exceed)\w*.{0,24}\brate\b|thrott?l|slow down|over capacity"
            r"|too many (?:\w+ )?(?:request|call|connection|req)|capacity (?:limit|exceed)|compute unit"
            r"|(?:request|call|capacity|throughput|concurren\w+) (?:limit|exceed)"
            r"|(?:limit|exceed|reduce|over)\w*\b.*(?:per (?:sec|min)|\b[rqct]p\b|\bcup\b|# sec)"
        ),
    ),
)
_NUMBER = re.compile(r"\b\d[\d,._]*")
_HEX = re.compile(r"0x[0-9a-f]*")
_NO_WORD = re.compile(r"[^a-z0-9#]+")
_NEAR = 5
"""Letters that a word must have to be recognised with one of them off; shorter ones are other words then."""


def meaning_of(code: int | None, message: str, method: str = "", *, ranged: bool = False) -> Meaning:
    """What a refusal with this code and message means; `ranged` if it refuses an eth_getLogs of several blocks."""
    meaning = _meaning(code, message[:LONGEST_READ])
    if method != "eth_getLogs":
        return meaning
    if meaning is Meaning.RATE and code == -32005 and _says_only_limit(message):
        return Meaning.RANGE if ranged else Meaning.RATE  # nodes of BNB Chain say so of a range, others of a rate
    if ranged and meaning is Meaning.SIZE:
        return Meaning.RANGE
    return Meaning.SIZE if meaning is Meaning.RANGE and not ranged else meaning


def is_revert(code: int | None, message: str) -> bool:
    """Whether a contract refused, and not the node."""
    if code == 3 or REVERTS.match(message):
        return True
    return code == VM_ERROR_CODE and VM_ERROR.match(message) is not None


@lru_cache(maxsize=512)
def _meaning(code: int | None, message: str) -> Meaning:
    if is_revert(code, message):
        return Meaning.REVERT
    words = f" {stems(message)} "
    for meaning in PRECEDENCE:
        if any(f" {phrase} " in words for phrase in _PHRASES[meaning]):
            return meaning
    said = words.split()
    for meaning in PRECEDENCE:
        if meaning is not Meaning.PRUNED and any(_is_near(phrase.split(), said) for phrase in _PHRASES[meaning]):
            return meaning
    for meaning, rule in RULES:
        if rule.search(words):
            return meaning
    return CODES.get(code or 0, Meaning.TRANSIENT)


def stems(text: str) -> str:
    """Lower-case words without plural endings, separated by single spaces; `#` for a number, `xx` for hex digits."""
    plain = _NO_WORD.sub(" ", _NUMBER.sub("#", _HEX.sub("xx", text.lower().replace("'", ""))))
    return " ".join(word[:-1] if word.endswith("s") else word for word in plain.split())


def _says_only_limit(message: str) -> bool:
    return stems(message) in ("limit exceeded", "limit exceed", "exceeded limit", "")


def _is_near(phrase: list[str], said: list[str]) -> bool:
    """Whether the words of a phrase stand there, one letter wrong in one of them at most."""
    if len(phrase) < 2:
        return False
    for begin in range(len(said) - len(phrase) + 1):
        off = [(a, b) for a, b in zip(phrase, said[begin:], strict=False) if a != b]
        if len(off) == 1 and len(off[0][0]) >= _NEAR and _one_off(*off[0]):
            return True
    return False


def _one_off(a: str, b: str) -> bool:
    """Whether one letter is missing, added or wrong, or two neighbours are swapped."""
    if abs(len(a) - len(b)) > 1:
        return False
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    swapped = a[head + 1 : head + 2] + a[head : head + 1] + a[head + 2 :]
    return b[head:] == swapped or a[head + 1 :] == b[head + (len(a) == len(b)) :] or a[head:] == b[head + 1 :]


_PHRASES = {
    meaning: tuple(dict.fromkeys(row.phrase for row in WORDINGS if row.phrase and row.meaning is meaning))
    for meaning in PRECEDENCE
}
