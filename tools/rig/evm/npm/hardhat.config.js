// `node` simulates the network of this name; the command line gives chain id and port.
export default {
  networks: { node: { type: "edr-simulated", blockGasLimit: 45_000_000, allowUnlimitedContractSize: true } },
};
