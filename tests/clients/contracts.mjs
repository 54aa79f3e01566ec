// Contracts that call each other wherever they live: on one shard at once, on several by messages. A wallet sees the same.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Contract, ContractFactory, JsonRpcProvider, Wallet, concat, getAddress, parseEther, toBeHex, toUtf8Bytes } from "ethers";
import { accounts, check, finish, raw, rpcUrl } from "./suite.mjs";

const provider = new JsonRpcProvider(rpcUrl, undefined, { pollingInterval: 100, cacheTimeout: -1 });
const artifact = (name) =>
  JSON.parse(readFileSync(new URL(`../../contracts/artifacts/${name}.json`, import.meta.url), "utf8"));
const crossDomain = new Contract(
  "0x00000000000000000000000000000000000001c0",
  artifact("ICrossDomain").abi,
  provider,
);

const wallets = accounts.map((account) => new Wallet(account.private_key, provider));
const domains = await Promise.all(wallets.map(({ address }) => crossDomain.domainOf(address)));
const near = wallets[0];
// Whoever lives farthest away: on one shard there is nobody but neighbours.
const far = wallets[domains.findIndex((domain) => domain !== domains[0])] ?? wallets[1];
const apart = domains[0] !== (await crossDomain.domainOf(far.address));
const value = parseEther("0.01");

async function deploy(name, wallet, ...args) {
  const { abi, bytecode } = artifact(name);
  const contract = await new ContractFactory(abi, bytecode, wallet).deploy(...args);
  return contract.waitForDeployment();
}

async function mined(sent) {
  const receipt = await (await sent).wait();
  assert.equal(receipt.status, 1);
  return receipt;
}

/** The events of a contract in a receipt, by name. */
function events(receipt, contract, name) {
  const own = receipt.logs.filter((log) => log.address === getAddress(contract.target));
  return own.map((log) => contract.interface.parseLog(log)).filter((event) => event?.name === name);
}

let here, there;

await check("contracts live where their creators do", async () => {
  here = await deploy("PingPong", near);
  there = await deploy("PingPong", far);
  assert.equal(await crossDomain.domainOf(here.target), domains[0]);
  assert.equal((await crossDomain.domainOf(there.target)) !== domains[0], apart);
});

await check("a ping is answered within one transaction", async () => {
  const receipt = await mined(here.ping(there.target, false, { value }));
  assert.deepEqual([await there.pings(), await here.pongs(there.target)], [1n, 1n]);
  assert.equal(events(receipt, there, "Pinged").length, 1);
  const [answer] = events(receipt, here, "Ponged");
  assert.deepEqual([answer.args.success, answer.args.count], [true, 1n]);
  const sent = events(receipt, crossDomain, "MessageSent");
  assert.equal(sent.length, apart ? 1 : 0);
  if (!apart) return;
  const { legs } = await raw("anfs_getTransactionLegs", [receipt.hash]);
  assert.deepEqual(legs.map((leg) => leg.kind), ["transaction", "call", "credit", "result"]);
});

await check("a ping that fails is told to who sent it", async () => {
  const receipt = await mined(here.ping(there.target, true, { value }));
  assert.deepEqual([await here.missed(), await there.pings()], [1n, 1n]);
  assert.equal(events(receipt, here, "Ponged")[0].args.success, false);
});

await check("a token goes to another shard and back", async () => {
  const home = await deploy("ManyShardToken", near, "Many", "MANY", 1000n);
  const branch = await deploy("ManyShardToken", far, "Many", "MANY", 0n);
  await mined(home.addBranch(branch.target));
  await mined(branch.addBranch(home.target));
  await mined(home.transferAcross(branch.target, far.address, 300n, { value }));
  assert.deepEqual([await home.totalSupply(), await branch.balanceOf(far.address)], [700n, 300n]);
  await mined(branch.transferAcross(home.target, near.address, 100n, { value }));
  assert.deepEqual([await home.balanceOf(near.address), await branch.totalSupply()], [800n, 200n]);
});

await check("tokens that a branch refuses come back", async () => {
  const home = await deploy("ManyShardToken", near, "Many", "MANY", 1000n);
  const stranger = await deploy("ManyShardToken", far, "Many", "MANY", 0n);
  await mined(home.addBranch(stranger.target));
  const receipt = await mined(home.transferAcross(stranger.target, far.address, 300n, { value }));
  assert.equal(events(receipt, home, "Returned")[0].args.amount, 300n);
  assert.deepEqual([await home.balanceOf(near.address), await stranger.totalSupply()], [1000n, 0n]);
});

await check("a message by ERC-7786", async () => {
  const from = await deploy("GatewayMailbox", near);
  const to = await deploy("GatewayMailbox", far);
  const { chainId } = await provider.getNetwork();
  const chain = toBeHex(chainId);
  const written = (account) => concat(["0x00010000", toBeHex((chain.length - 2) / 2), chain, "0x14", account]);
  const { maxFeePerGas } = await provider.getFeeData();
  const letter = toUtf8Bytes("good morning");
  const post = from.post(written(to.target), letter, 300_000n, maxFeePerGas, { value, gasLimit: 500_000n });
  if (!apart) {
    // The gateway goes to other domains; who lives here is called directly.
    await assert.rejects(post.then((sent) => sent.wait()));
    return;
  }
  await mined(post);
  assert.equal(await to.lastSender(), written(from.target).toLowerCase());
  assert.equal(await to.lastLetter(), `0x${Buffer.from(letter).toString("hex")}`);
});

finish();
