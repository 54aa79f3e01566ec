"""web3.py against a running devnet; proofs are verified with py-trie."""

import asyncio
import json
import os
import subprocess
import sys
import traceback

import rlp
from eth_account import Account
from eth_utils import keccak
from trie import HexaryTrie
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractCustomError, ContractLogicError, ContractPanicError

WAIT_SECONDS = 30
URL, WS_URL = os.environ["ANFS_RPC_URL"], os.environ["ANFS_WS_URL"]
KEYS = [account["private_key"] for account in json.loads(os.environ["ANFS_ACCOUNTS"])]

web3 = Web3(Web3.HTTPProvider(URL))
sender, friend = Account.from_key(KEYS[6]), Account.from_key(KEYS[7])
artifacts = json.loads(subprocess.run(["node", "compile.mjs"], check=True, capture_output=True).stdout)
counts = {True: 0, False: 0}
made = {}


def check(work):
    """Runs a check at once and reports it; its docstring is its name."""
    try:
        work()
        counts[True] += 1
        print(f"ok - {work.__doc__}", flush=True)
    except Exception:  # Whatever it is, the check has failed and the others go on.
        counts[False] += 1
        print(f"not ok - {work.__doc__}\n{traceback.format_exc()}", flush=True)


def expect(condition, message="not as expected"):
    if not condition:
        raise AssertionError(message)


def send(transaction):
    """Signs, sends and waits for the receipt of success."""
    transaction.setdefault("nonce", web3.eth.get_transaction_count(sender.address))
    signed = sender.sign_transaction(transaction)
    receipt = web3.eth.wait_for_transaction_receipt(
        web3.eth.send_raw_transaction(signed.raw_transaction), timeout=WAIT_SECONDS, poll_latency=0.1
    )
    expect(receipt["status"] == 1, "the transaction reverted")
    return receipt


def transact(call, **more):
    return send(call.build_transaction({"from": sender.address, "chainId": web3.eth.chain_id, **more}))


def deploy(name, *args):
    contract = web3.eth.contract(**artifacts[name])
    receipt = transact(contract.constructor(*args))
    return web3.eth.contract(address=receipt["contractAddress"], abi=artifacts[name]["abi"])


def raises(kind, work):
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"it did not raise {kind}")


@check
def value():
    """send value"""
    before = web3.eth.get_balance(friend.address)
    base_fee = web3.eth.get_block("latest")["baseFeePerGas"]
    send({
        "to": friend.address, "value": 10**17, "gas": 21000, "chainId": web3.eth.chain_id,
        "maxFeePerGas": 2 * base_fee + 10**9, "maxPriorityFeePerGas": 10**9,
    })
    expect(web3.eth.get_balance(friend.address) - before == 10**17)


@check
def erc20():
    """deploy and use an OpenZeppelin ERC-20"""
    made["token"] = token = deploy("Token", 900)
    transact(token.functions.transfer(friend.address, 30))
    expect(token.functions.balanceOf(friend.address).call() == 30)


@check
def erc721():
    """deploy and use an OpenZeppelin ERC-721"""
    collectible = deploy("Collectible")
    transact(collectible.functions.mint(sender.address))
    transact(collectible.functions.transferFrom(sender.address, friend.address, 1))
    expect(collectible.functions.ownerOf(1).call() == friend.address)


@check
def logs():
    """logs over HTTP and by a polled filter"""
    token = made["token"]
    values = [log["args"]["value"] for log in token.events.Transfer().get_logs(from_block=0)]
    expect(values == [900, 30], values)
    polled = token.events.Transfer.create_filter(from_block="latest")
    polled.get_new_entries()
    transact(token.functions.transfer(friend.address, 4))
    expect([log["args"]["value"] for log in polled.get_new_entries()][-1:] == [4])


async def subscribed_log():
    token = made["token"]
    async with AsyncWeb3(WebSocketProvider(WS_URL)) as live:
        topic = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
        await live.eth.subscribe("logs", {"address": token.address, "topics": [topic]})
        receipt = await asyncio.to_thread(transact, token.functions.transfer(friend.address, 8))
        async with asyncio.timeout(WAIT_SECONDS):
            async for message in live.socket.process_subscriptions():
                return message["result"], receipt


@check
def subscription():
    """logs over a WebSocket subscription"""
    log, receipt = asyncio.run(subscribed_log())
    expect(log["transactionHash"] == receipt["transactionHash"])
    expect(int(log["data"].hex(), 16) == 8)


@check
def reverts():
    """a revert is decoded to its reason"""
    faulty = deploy("Faulty")
    expect("the reason in words" in str(raises(ContractLogicError, faulty.functions.nested().call)))
    raises(ContractPanicError, faulty.functions.panic(0).call)
    expect(raises(ContractCustomError, faulty.functions.custom(9).call).data.startswith("0x"))
    call = {"to": faulty.address, "data": faulty.encode_abi("nested"), "from": sender.address}
    trace = web3.provider.make_request("debug_traceCall", [call, "latest", {"tracer": "callTracer"}])["result"]
    expect(trace["revertReason"] == "the reason in words", trace)


@check
def proofs():
    """account and storage proofs hold against the state root"""
    token = made["token"]
    block = web3.eth.get_block("latest")
    key = keccak(bytes.fromhex(friend.address[2:]).rjust(32, b"\0") + bytes(32))
    proof = web3.eth.get_proof(token.address, [int.from_bytes(key, "big")], block["number"])
    nodes = [rlp.decode(bytes(node)) for node in proof["accountProof"]]
    leaf = HexaryTrie.get_from_proof(bytes(block["stateRoot"]), keccak(hexstr=token.address), nodes)
    nonce, balance, storage_root, code_hash = rlp.decode(leaf)
    expect(int.from_bytes(nonce, "big") == proof["nonce"])
    expect(int.from_bytes(balance, "big") == proof["balance"])
    expect(storage_root == bytes(proof["storageHash"]) and code_hash == bytes(proof["codeHash"]))
    expect(code_hash == keccak(bytes(web3.eth.get_code(token.address))))
    nodes = [rlp.decode(bytes(node)) for node in proof["storageProof"][0]["proof"]]
    slot = HexaryTrie.get_from_proof(storage_root, keccak(key), nodes)
    held = token.functions.balanceOf(friend.address).call(block_identifier=block["number"])
    expect(int.from_bytes(rlp.decode(slot), "big") == held == 42)


@check
def fees():
    """fee history"""
    history = web3.eth.fee_history(3, "latest", [10, 90])
    expect(len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1)
    expect(all(len(row) == 2 for row in history["reward"]))


@check
def batch():
    """batched requests"""
    with web3.batch_requests() as requests:
        requests.add(web3.eth.get_block("latest"))
        requests.add(made["token"].functions.balanceOf(friend.address))
        block, held = requests.execute()
    expect(block["number"] > 0 and held == 42)


print(f"{counts[True]} passed, {counts[False]} failed")
sys.exit(1 if counts[False] else 0)
