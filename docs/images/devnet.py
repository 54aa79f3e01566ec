#!/usr/bin/env python3
"""Draws docs/images/devnet.svg: a devnet started and used with cast, as it really prints.

Run from the repository's root after `cargo build --release` and `cargo xtask setup`.
"""

import json
import pathlib
import subprocess
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAST = ROOT / "tests/clients/node_modules/.bin/cast"
ANFS = ROOT / "target/release/anfs"
LINE, WIDTH, LEFT, TOP = 19, 960, 22, 58
RECEIPT = ("blockNumber", "gasUsed", "status", "transactionHash")


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout


def keep(text, starts):
    return [line for line in text.splitlines() if line.startswith(starts)]


def session():
    """Lines of (style, text), from a real devnet."""
    devnet = subprocess.Popen(
        [ANFS, "devnet", "--ephemeral", "--port", "8545", "--accounts", "2"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        banner = []
        for line in devnet.stdout:
            banner.append(line.rstrip())
            if line.startswith("Ctrl-C"):
                break
        key = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
        friend = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
        lines = [("prompt", "cargo run --release -- devnet --accounts 2")]
        lines += [("out", line) for line in banner if line and not line.startswith("Data")]
        lines += [("out", ""), ("prompt", f"cast send {friend} --value 1ether --private-key $KEY")]
        sent = run(CAST, "send", friend, "--value", "1ether", "--private-key", key)
        lines += [("out", line) for line in keep(sent, RECEIPT)]
        lines += [("out", ""), ("prompt", f"cast balance {friend} --ether")]
        lines += [("out", run(CAST, "balance", friend, "--ether").strip())]
        block = json.loads(run(CAST, "receipt", keep(sent, "transactionHash")[0].split()[1], "--json"))["blockNumber"]
        lines += [("out", ""), ("prompt", f"cast rpc anfs_getCertificate {int(block, 16)}")]
        certificate = json.loads(run(CAST, "rpc", "anfs_getCertificate", block))
        text = json.dumps(certificate)
        lines += [("out", text[:104] + ("…" if len(text) > 104 else ""))]
        return lines
    finally:
        devnet.terminate()
        devnet.wait()


def draw(lines):
    height = TOP + LINE * len(lines) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        f'<rect width="{WIDTH}" height="{height}" rx="9" fill="#15181e"/>',
    ]
    for index, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        parts.append(f'<circle cx="{22 + 20 * index}" cy="22" r="6" fill="{colour}"/>')
    font = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    parts.append(f'<g font-family="{font}" font-size="13.5">')
    for index, (style, text) in enumerate(lines):
        y = TOP + LINE * index
        if style == "prompt":
            parts.append(
                f'<text x="{LEFT}" y="{y}" fill="#7fd88f">$ <tspan fill="#f4f5f7" font-weight="600">{escape(text)}</tspan></text>'
            )
        else:
            # Viewers differ in which way of keeping spaces they know; all keep these.
            text = escape(text).replace(" ", "\N{NO-BREAK SPACE}")
            parts.append(f'<text x="{LEFT}" y="{y}" fill="#b9c0cc">{text}</text>')
    parts.append("</g></svg>")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    (ROOT / "docs/images/devnet.svg").write_text(draw(session()))
