// Compiles contracts/src of the repository with the npm solc; prints the artifacts as JSON: { name: { abi, … } }.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const root = here("../../contracts/src");

const files = readdirSync(root, { recursive: true })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".sol"))
  .sort();
const input = {
  language: "Solidity",
  sources: Object.fromEntries(
    files.map((file) => [`src/${file}`, { content: readFileSync(`${root}/${file}`, "utf8") }]),
  ),
  settings: {
    evmVersion: "osaka",
    optimizer: { enabled: true, runs: 200 },
    // No hash of sources and no compiler's name in the code: the same code whoever compiles it.
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
};
const load = (path) => {
  try {
    return { contents: readFileSync(here(`node_modules/${path}`), "utf8") };
  } catch (error) {
    return { error: String(error) };
  }
};

const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
const faults = (output.errors ?? []).filter((error) => error.severity !== "info");
if (faults.length > 0) {
  console.error(faults.map((fault) => fault.formattedMessage).join("\n"));
  process.exit(1);
}
const artifacts = {};
for (const file of files) {
  for (const [name, { abi, evm }] of Object.entries(output.contracts[`src/${file}`] ?? {})) {
    if (name in artifacts) throw new Error(`two contracts are called ${name}`);
    const code = (kind) => `0x${evm[kind].object}`;
    artifacts[name] = { abi, bytecode: code("bytecode"), deployedBytecode: code("deployedBytecode") };
  }
}
process.stdout.write(JSON.stringify(artifacts));
