// viem against a running devnet.
import assert from "node:assert/strict";
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, defineChain, http, keccak256,
  parseEther, webSocket,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { compile } from "./compile.mjs";
import { accounts, check, finish, mappingSlot, raw, rpcUrl, verifyProof, within, wsUrl } from "./suite.mjs";

const chain = defineChain({
  id: Number(await raw("eth_chainId")),
  name: "ANFS devnet",
  nativeCurrency: { name: "AFS", symbol: "AFS", decimals: 18 },
  rpcUrls: { default: { http: [rpcUrl], webSocket: [wsUrl] } },
});
const options = { chain, pollingInterval: 100, cacheTime: 0 };
const client = createPublicClient({ ...options, transport: http(rpcUrl) });
const account = privateKeyToAccount(accounts[2].private_key);
const wallet = createWalletClient({ ...options, account, transport: http(rpcUrl) });
const friend = accounts[3].address;
const artifacts = compile();

async function mined(hash) {
  const receipt = await client.waitForTransactionReceipt({ hash, timeout: 30_000 });
  assert.equal(receipt.status, "success");
  return receipt;
}

async function deploy(name, args = []) {
  const { contractAddress } = await mined(await wallet.deployContract({ ...artifacts[name], args }));
  return { address: contractAddress, abi: artifacts[name].abi };
}

let token, collectible, faulty;

await check("send value", async () => {
  const before = await client.getBalance({ address: friend });
  await mined(await wallet.sendTransaction({ to: friend, value: parseEther("0.25") }));
  assert.equal((await client.getBalance({ address: friend })) - before, parseEther("0.25"));
});

await check("deploy and use an OpenZeppelin ERC-20", async () => {
  token = await deploy("Token", [5000n]);
  const { request } = await client.simulateContract({ ...token, account, functionName: "transfer", args: [friend, 12n] });
  await mined(await wallet.writeContract(request));
  assert.equal(await client.readContract({ ...token, functionName: "balanceOf", args: [friend] }), 12n);
});

await check("deploy and use an OpenZeppelin ERC-721", async () => {
  collectible = await deploy("Collectible");
  await mined(await wallet.writeContract({ ...collectible, functionName: "mint", args: [account.address] }));
  const args = [account.address, friend, 1n];
  await mined(await wallet.writeContract({ ...collectible, functionName: "safeTransferFrom", args }));
  const owner = await client.readContract({ ...collectible, functionName: "ownerOf", args: [1n] });
  assert.equal(owner.toLowerCase(), friend.toLowerCase());
});

await check("logs over HTTP", async () => {
  const logs = await client.getContractEvents({ ...token, eventName: "Transfer", fromBlock: 0n });
  assert.deepEqual(logs.map((log) => log.args.value), [5000n, 12n]);
});

await check("logs over a WebSocket subscription", async () => {
  const live = createPublicClient({ ...options, transport: webSocket(wsUrl) });
  await live.getBlockNumber();
  let stop;
  const event = new Promise((resolve, reject) => {
    const onLogs = (logs) => resolve(logs[0]);
    stop = live.watchContractEvent({ ...token, eventName: "Transfer", poll: false, onLogs, onError: reject });
  });
  // One socket answers in order: once this is answered, the subscription before it is in place.
  await live.getChainId();
  const receipt = await mined(await wallet.writeContract({ ...token, functionName: "transfer", args: [friend, 9n] }));
  const log = await within(20_000, event);
  assert.equal(log.transactionHash, receipt.transactionHash);
  assert.equal(log.args.value, 9n);
  stop();
});

await check("a revert is decoded to its reason", async () => {
  faulty = await deploy("Faulty");
  const reverted = async (functionName, args = []) => {
    const error = await client.readContract({ ...faulty, functionName, args }).then(
      () => assert.fail(`${functionName} must revert`),
      (error) => error,
    );
    assert.ok(error instanceof BaseError, String(error));
    const cause = error.walk((inner) => inner instanceof ContractFunctionRevertedError);
    assert.ok(cause, String(error));
    return cause;
  };
  assert.equal((await reverted("text")).reason, "the reason in words");
  const custom = await reverted("custom", [9n]);
  assert.equal(custom.data.errorName, "TooMuch");
  assert.deepEqual(custom.data.args, [9n, 7n]);
  assert.equal((await reverted("panic", [0n])).data.errorName, "Panic");
});

await check("account and storage proofs hold against the state root", async () => {
  const block = await client.getBlock();
  const slot = mappingSlot(friend, keccak256);
  const tag = `0x${block.number.toString(16)}`;
  const proof = await raw("eth_getProof", [token.address, [slot], tag]);
  await verifyProof(proof, block.stateRoot);
  const typed = await client.getProof({ address: token.address, storageKeys: [slot], blockNumber: block.number });
  assert.equal(typed.storageProof[0].value, 21n);
});

await check("fee history, fee estimates and gas estimates", async () => {
  const history = await client.getFeeHistory({ blockCount: 3, rewardPercentiles: [50] });
  assert.ok(history.baseFeePerGas.length >= 2);
  const fees = await client.estimateFeesPerGas();
  assert.ok(fees.maxFeePerGas > 0n);
  assert.equal(await client.estimateGas({ account, to: accounts[4].address, value: 1n }), 21000n);
});

await check("calls with state overrides", async () => {
  const result = await client.readContract({
    ...token,
    functionName: "balanceOf",
    args: [account.address],
    stateOverride: [{
      address: token.address,
      stateDiff: [{ slot: mappingSlot(account.address, keccak256), value: `0x${"00".repeat(31)}2a` }],
    }],
  });
  assert.equal(result, 42n);
});

await check("batched calls over HTTP", async () => {
  const batching = createPublicClient({ ...options, transport: http(rpcUrl, { batch: true }) });
  const [number, id, balance] = await Promise.all([
    batching.getBlockNumber(), batching.getChainId(), batching.getBalance({ address: friend }),
  ]);
  assert.ok(number > 0n && balance > 0n);
  assert.equal(id, chain.id);
});

await check("an EIP-7702 delegation", async () => {
  const delegator = privateKeyToAccount(accounts[5].private_key);
  const own = createWalletClient({ ...options, account: delegator, transport: http(rpcUrl) });
  const authorization = await own.signAuthorization({ contractAddress: token.address, executor: "self" });
  await mined(await own.sendTransaction({ authorizationList: [authorization], to: friend, gas: 200_000n }));
  const code = await client.getCode({ address: delegator.address });
  assert.equal(code, `0xef0100${token.address.slice(2).toLowerCase()}`);
});

finish();
