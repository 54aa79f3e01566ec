// ethers 6 against a running devnet.
import assert from "node:assert/strict";
import { ContractFactory, JsonRpcProvider, Wallet, WebSocketProvider, keccak256, parseEther } from "ethers";
import { compile } from "./compile.mjs";
import { accounts, check, finish, mappingSlot, post, raw, rpcUrl, verifyProof, within, wsUrl } from "./suite.mjs";

const provider = new JsonRpcProvider(rpcUrl, undefined, { pollingInterval: 100, cacheTimeout: -1 });
const wallet = new Wallet(accounts[0].private_key, provider);
const friend = accounts[1].address;
const artifacts = compile();

async function deploy(name, ...args) {
  const { abi, bytecode } = artifacts[name];
  const contract = await new ContractFactory(abi, bytecode, wallet).deploy(...args);
  return contract.waitForDeployment();
}

async function mined(sent) {
  const receipt = await (await sent).wait();
  assert.equal(receipt.status, 1);
  return receipt;
}

let token, collectible, faulty;

await check("network and chain id", async () => {
  const { chainId } = await provider.getNetwork();
  assert.equal(BigInt(await raw("net_version")), chainId);
});

await check("send value", async () => {
  const before = await provider.getBalance(friend);
  const receipt = await mined(wallet.sendTransaction({ to: friend, value: parseEther("1.5") }));
  assert.equal(receipt.gasUsed, 21000n);
  assert.equal((await provider.getBalance(friend)) - before, parseEther("1.5"));
});

await check("legacy and access-list transactions", async () => {
  const { gasPrice } = await provider.getFeeData();
  await mined(wallet.sendTransaction({ type: 0, to: friend, value: 1n, gasPrice: gasPrice * 2n }));
  const accessList = [{ address: friend, storageKeys: [] }];
  await mined(wallet.sendTransaction({ type: 1, to: friend, value: 1n, gasPrice: gasPrice * 2n, accessList }));
});

await check("deploy and use an OpenZeppelin ERC-20", async () => {
  token = await deploy("Token", 1_000_000n);
  await mined(token.transfer(friend, 250n));
  assert.equal(await token.balanceOf(friend), 250n);
  await mined(token.approve(friend, 40n));
  assert.equal(await token.allowance(wallet.address, friend), 40n);
  const spender = new Wallet(accounts[1].private_key, provider);
  await mined(token.connect(spender).transferFrom(wallet.address, friend, 40n));
  assert.equal(await token.balanceOf(wallet.address), 1_000_000n - 290n);
});

await check("deploy and use an OpenZeppelin ERC-721", async () => {
  collectible = await deploy("Collectible");
  await mined(collectible.mint(wallet.address));
  await mined(collectible.transferFrom(wallet.address, friend, 1n));
  assert.equal(await collectible.ownerOf(1n), friend);
});

await check("an exchange of two tokens swaps for customers", async () => {
  const [left, right] = [await deploy("Token", 1_000_000n), await deploy("Token", 1_000_000n)];
  const exchange = await deploy("Exchange", await left.getAddress(), await right.getAddress());
  await mined(left.approve(await exchange.getAddress(), 500_000n));
  await mined(right.approve(await exchange.getAddress(), 500_000n));
  await mined(exchange.fund(500_000n, 500_000n));
  const customers = accounts.slice(1, 6).map(({ private_key: key }) => new Wallet(key, provider));
  for (const customer of customers) await mined(left.transfer(customer.address, 100n));
  const swaps = customers.map(async (customer) => {
    await mined(left.connect(customer).approve(await exchange.getAddress(), 100n));
    await mined(exchange.connect(customer).swap(await left.getAddress(), 100n, 90n));
    assert.ok((await right.balanceOf(customer.address)) >= 90n);
  });
  await Promise.all(swaps);
  assert.equal(await left.balanceOf(await exchange.getAddress()), 500_500n);
  const greedy = exchange.connect(customers[0]).swap.staticCall(await left.getAddress(), 1n, 2n);
  await assert.rejects(greedy, (error) => error.revert?.name === "TooLittle");
});

await check("logs over HTTP", async () => {
  const logs = await token.queryFilter(token.filters.Transfer(wallet.address, friend));
  assert.deepEqual(logs.map((log) => log.args.value), [250n, 40n]);
});

await check("logs and heads over a WebSocket subscription", async () => {
  const socket = new WebSocketProvider(wsUrl);
  try {
    const live = token.connect(socket);
    let sent;
    const event = new Promise((resolve) => {
      void live.on(live.filters.Transfer, (_from, _to, value, payload) => resolve([value, payload.log]));
    });
    const head = new Promise((resolve) => void socket.once("block", resolve));
    await socket.getBlockNumber();
    await raw("web3_clientVersion");
    sent = await mined(token.transfer(friend, 77n));
    const [value, log] = await within(20_000, event);
    assert.equal(value, 77n);
    assert.equal(log.transactionHash, sent.hash);
    assert.ok((await within(20_000, head)) > 0);
  } finally {
    await socket.destroy();
  }
});

await check("filters by polling", async () => {
  const filter = await raw("eth_newFilter", [{ address: await token.getAddress() }]);
  const blocks = await raw("eth_newBlockFilter");
  const receipt = await mined(token.transfer(friend, 5n));
  const changes = await raw("eth_getFilterChanges", [filter]);
  assert.deepEqual(changes.map((log) => log.transactionHash), [receipt.hash]);
  assert.ok((await raw("eth_getFilterChanges", [blocks])).includes(receipt.blockHash));
  assert.equal((await raw("eth_getFilterLogs", [filter])).length > 0, true);
  assert.equal(await raw("eth_uninstallFilter", [filter]), true);
  assert.equal(await raw("eth_uninstallFilter", [filter]), false);
});

await check("a revert is decoded to its reason", async () => {
  faulty = await deploy("Faulty");
  await assert.rejects(faulty.text(), (error) => error.reason === "the reason in words");
  await assert.rejects(faulty.nested(), (error) => error.reason === "the reason in words");
  await assert.rejects(faulty.panic(0n), (error) => error.revert?.name === "Panic");
  await assert.rejects(faulty.custom(9n), (error) => {
    assert.equal(error.revert.name, "TooMuch");
    assert.deepEqual([...error.revert.args], [9n, 7n]);
    return true;
  });
});

await check("a mined revert is traced to its reason", async () => {
  const data = faulty.interface.encodeFunctionData("nested");
  const sent = await wallet.sendTransaction({ to: await faulty.getAddress(), data, gasLimit: 200_000n });
  await assert.rejects(sent.wait(), (error) => error.receipt.status === 0);
  const trace = await raw("debug_traceTransaction", [sent.hash, { tracer: "callTracer" }]);
  assert.match(trace.error, /revert/);
  assert.equal(trace.revertReason, "the reason in words");
  assert.equal(trace.calls.length, 1);
  assert.equal(trace.calls[0].revertReason, "the reason in words");
  const steps = await raw("debug_traceTransaction", [sent.hash, {}]);
  assert.equal(steps.failed, true);
  assert.equal(steps.structLogs.at(-1).op, "REVERT");
});

await check("account and storage proofs hold against the state root", async () => {
  const address = await token.getAddress();
  const block = await provider.getBlock("latest");
  const slot = mappingSlot(friend, keccak256);
  const absent = mappingSlot("0x00000000000000000000000000000000000000ff", keccak256);
  const tag = `0x${block.number.toString(16)}`;
  const proof = await raw("eth_getProof", [address, [slot, absent], tag]);
  await verifyProof(proof, block.stateRoot);
  assert.equal(BigInt(proof.storageProof[0].value), await token.balanceOf(friend, { blockTag: block.number }));
  assert.equal(BigInt(proof.storageProof[1].value), 0n);
  await verifyProof(await raw("eth_getProof", [wallet.address, [], tag]), block.stateRoot);
});

await check("a proof under another root is refused by the verifier", async () => {
  const proof = await raw("eth_getProof", [wallet.address, [], "latest"]);
  await assert.rejects(verifyProof(proof, `0x${"11".repeat(32)}`));
});

await check("fee history and fee data", async () => {
  const history = await raw("eth_feeHistory", ["0x4", "latest", [25, 75]]);
  assert.equal(history.baseFeePerGas.length, history.gasUsedRatio.length + 1);
  assert.ok(history.reward.every((row) => row.length === 2));
  const fees = await provider.getFeeData();
  assert.ok(fees.maxFeePerGas >= fees.maxPriorityFeePerGas);
});

await check("a batch is answered call by call", async () => {
  const answers = await post([
    { jsonrpc: "2.0", id: 1, method: "eth_chainId", params: [] },
    { jsonrpc: "2.0", id: 2, method: "eth_noSuchMethod", params: [] },
    { jsonrpc: "2.0", id: 3, method: "eth_blockNumber", params: [] },
  ]);
  const byId = new Map(answers.map((answer) => [answer.id, answer]));
  assert.match(byId.get(1).result, /^0x/);
  assert.equal(byId.get(2).error.code, -32601);
  assert.match(byId.get(3).result, /^0x/);
});

await check("errors that wallets know are known", async () => {
  const nonce = await wallet.getNonce();
  await assert.rejects(
    wallet.sendTransaction({ to: friend, value: 1n, nonce: nonce - 1, gasLimit: 21000n }),
    (error) => error.code === "NONCE_EXPIRED",
  );
  const poor = Wallet.createRandom(provider);
  await assert.rejects(
    poor.sendTransaction({ to: friend, value: 1n, gasLimit: 21000n }),
    (error) => error.code === "INSUFFICIENT_FUNDS",
  );
});

await check("receipts, blocks and transactions agree", async () => {
  const receipt = await mined(wallet.sendTransaction({ to: friend, value: 3n }));
  const block = await provider.getBlock(receipt.blockNumber, true);
  assert.equal(block.hash, receipt.blockHash);
  assert.ok(block.transactions.includes(receipt.hash));
  const transaction = await provider.getTransaction(receipt.hash);
  assert.equal(transaction.from, wallet.address);
  assert.equal(transaction.index, receipt.index);
  const receipts = await raw("eth_getBlockReceipts", [`0x${receipt.blockNumber.toString(16)}`]);
  assert.ok(receipts.some((other) => other.transactionHash === receipt.hash));
});

finish();
