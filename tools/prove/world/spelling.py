"""Spellings of the same answer: what real nodes write otherwise, and a collector must read alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

CHECKSUMMED = re.compile(r'"address":"0x([0-9a-f]{40})"')
HASHES = re.compile(r'"(hash|parentHash|blockHash|transactionHash)":"0x([0-9a-f]{64})"')
TOPICS = re.compile(r'"topics":\[[^\]]*\]')
NUMBERS = re.compile(r'"(logIndex|transactionIndex|blockNumber|number|timestamp)":"(0x[0-9a-f]+)"')

STYLES: tuple[Callable[[str], str], ...] = (
    lambda text: CHECKSUMMED.sub(lambda found: f'"address":"0x{_mixed(found[1])}"', text),
    lambda text: HASHES.sub(lambda found: f'"{found[1]}":"0x{found[2].upper()}"', text),
    lambda text: TOPICS.sub(lambda found: found[0].upper().replace("0X", "0x").replace("TOPICS", "topics"), text),
    lambda text: NUMBERS.sub(lambda found: f'"{found[1]}":{int(found[2], 16)}', text),
    lambda text: text.replace('"logIndex":"0x0"', '"logIndex":"0x"'),
    lambda text: text.replace('"removed":false', '"blockTimestamp":1700000000,"removed":false'),
    lambda text: text.replace(',"removed":false', ""),
    lambda text: text.replace('"result":[]', '"result":null'),
    lambda text: text.replace('"gasUsed":"0x5208",', '"gasUsed":"0x0005208","sizeOfMoon":[{}],'),
    lambda text: text.replace('"data":"', '"l1BatchNumber":null,"data":"'),
)


class Spelling:
    """How one endpoint writes."""

    def __init__(self, rng: Random) -> None:
        self._styles = rng.sample(STYLES, rng.randrange(1, 4))

    def of(self, text: str) -> str:
        """The same, in its own spelling."""
        for style in self._styles:
            text = style(text)
        return text


def _mixed(digits: str) -> str:
    """Some letters large: any of them, as in EIP-55."""
    return "".join(digit.upper() if at % 2 else digit for at, digit in enumerate(digits))
