// cast and forge against a running devnet.
import assert from "node:assert/strict";
import { run, start, succeed } from "./programs.mjs";
import { accounts, check, finish, raw, rpcUrl, verifyProof, within, wsUrl } from "./suite.mjs";

const [sender, friend] = [accounts[8], accounts[9]];
const cast = (command, ...args) => succeed("cast", command, "--rpc-url", rpcUrl, ...args);
const signed = ["--private-key", sender.private_key];
const send = async (...args) => {
  const receipt = JSON.parse(await cast("send", "--json", ...signed, ...args));
  assert.equal(receipt.status, "0x1");
  return receipt;
};
const create = async (contract, ...args) => {
  const tail = args.length > 0 ? ["--constructor-args", ...args] : [];
  const out = await succeed(
    "forge", "create", contract, "--rpc-url", rpcUrl, ...signed, "--broadcast", "--json", ...tail,
  );
  return JSON.parse(out.slice(out.indexOf("{"))).deployedTo;
};

let token, collectible, faulty;

await check("cast sends value", async () => {
  const before = BigInt(await cast("balance", friend.address));
  await send(friend.address, "--value", "0.5ether");
  assert.equal(BigInt(await cast("balance", friend.address)) - before, 5n * 10n ** 17n);
});

await check("forge create deploys an OpenZeppelin ERC-20 and cast uses it", async () => {
  token = await create("contracts/Token.sol:Token", "7000");
  await send(token, "transfer(address,uint256)", friend.address, "70");
  assert.equal(await cast("call", token, "balanceOf(address)(uint256)", friend.address), "70");
});

await check("forge create deploys an OpenZeppelin ERC-721 and cast uses it", async () => {
  collectible = await create("contracts/Collectible.sol:Collectible");
  await send(collectible, "mint(address)", friend.address);
  assert.equal(await cast("call", collectible, "ownerOf(uint256)(address)", "1"), friend.address);
});

await check("forge script deploys both", async () => {
  const out = await succeed(
    "forge", "script", "script/Deploy.s.sol:Deploy", "--rpc-url", rpcUrl, ...signed, "--broadcast", "--slow",
    "--sender", sender.address,
  );
  assert.match(out, /ONCHAIN EXECUTION COMPLETE & SUCCESSFUL/);
});

await check("forge script deploys an exchange of two tokens, and customers swap there with cast", async () => {
  const customers = accounts.slice(0, 4);
  const out = await succeed(
    "forge", "script", "script/Market.s.sol:Market", "--rpc-url", rpcUrl, ...signed, "--broadcast", "--json",
    "--sig", "run(address[])", `[${customers.map((customer) => customer.address).join(",")}]`,
  );
  const { returns } = JSON.parse(out.split("\n").find((line) => line.includes('"returns"')));
  const [left, right, exchange] = ["left", "right", "exchange"].map((name) => returns[name].value);
  const amount = async (...call) => BigInt((await cast("call", ...call)).split(" ")[0]);
  for (const { address, private_key: key } of customers) {
    const pay = async (...args) => {
      const receipt = JSON.parse(await cast("send", "--json", "--private-key", key, ...args));
      assert.equal(receipt.status, "0x1");
      return receipt;
    };
    await pay(left, "approve(address,uint256)", exchange, "1000");
    const quoted = await amount(exchange, "quote(address,uint256)(uint256)", left, "1000");
    const { logs } = await pay(exchange, "swap(address,uint256,uint256)", left, "1000", String(quoted));
    assert.equal(logs.length, 3, "two transfers and the swap");
    assert.equal(await amount(right, "balanceOf(address)(uint256)", address), quoted);
    assert.equal(await amount(left, "balanceOf(address)(uint256)", address), 0n);
  }
});

await check("cast reads logs over HTTP", async () => {
  const logs = JSON.parse(
    await cast("logs", "--json", "--from-block", "0", "--address", token, "Transfer(address,address,uint256)"),
  );
  assert.deepEqual(logs.map((log) => BigInt(log.data)), [7000n, 70n]);
});

await check("cast follows logs over a WebSocket subscription", async () => {
  const child = start("cast", ["logs", "--subscribe", "--json", "--rpc-url", wsUrl, "--address", token]);
  try {
    let seen = "";
    const first = new Promise((resolve) => {
      child.stdout.on("data", (data) => {
        seen += data;
        if (seen.includes(token.toLowerCase().slice(2))) resolve(seen);
      });
    });
    let hash;
    // cast does not say when it has subscribed: send until one of the transfers is seen.
    let text;
    for (let attempt = 0; attempt < 10 && text === undefined; attempt += 1) {
      ({ transactionHash: hash } = await send(token, "transfer(address,uint256)", friend.address, "1"));
      text = await within(1000, first).catch(() => undefined);
    }
    assert.ok(text, `nothing was seen, last of ${hash}`);
  } finally {
    child.kill();
  }
});

await check("cast explains a revert", async () => {
  faulty = await create("contracts/Faulty.sol:Faulty");
  const call = await run("cast", "call", "--rpc-url", rpcUrl, faulty, "nested()");
  assert.notEqual(call.code, 0);
  assert.match(call.err, /the reason in words/);
  const custom = await run("cast", "call", "--rpc-url", rpcUrl, faulty, "custom(uint256)", "9");
  const selector = (await succeed("cast", "sig", "TooMuch(uint256,uint256)")).slice(2);
  assert.match(custom.err, new RegExp(`${selector}|TooMuch`));
});

await check("cast run replays a transaction to the reason of its revert", async () => {
  const sent = await cast("send", "--json", ...signed, "--gas-limit", "200000", faulty, "nested()");
  const { transactionHash, status } = JSON.parse(sent);
  assert.equal(status, "0x0");
  const trace = await run("cast", "run", "--rpc-url", rpcUrl, transactionHash);
  assert.match(`${trace.out}\n${trace.err}`, /the reason in words/);
  const server = await raw("debug_traceTransaction", [transactionHash, { tracer: "callTracer" }]);
  assert.equal(server.revertReason, "the reason in words");
});

await check("cast's proof holds against the block's state root", async () => {
  const block = JSON.parse(await cast("block", "--json", "latest"));
  const proof = JSON.parse(await cast("proof", "--block", String(BigInt(block.number)), token, "0x2"));
  assert.equal(proof.storageProof[0].value.replace(/^0x0*/, "0x"), "0x1b58", "slot 2 is the total supply");
  await verifyProof(proof, block.stateRoot);
});

await check("cast reads fees, nonces and code", async () => {
  assert.ok(BigInt(await cast("gas-price")) > 0n);
  assert.ok(BigInt(await cast("nonce", sender.address)) > 0n);
  assert.ok((await cast("code", token)).length > 100);
});

finish();
