// Compiles contracts/*.sol with the npm solc; run directly, it prints the artifacts as JSON.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Artifacts by contract name: { abi, bytecode } with the bytecode as 0x-hex. */
export function compile() {
  const files = readdirSync(here("contracts")).filter((file) => file.endsWith(".sol"));
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(
      files.map((file) => [file, { content: readFileSync(here(`contracts/${file}`), "utf8") }]),
    ),
    settings: {
      evmVersion: "osaka",
      optimizer: { enabled: true, runs: 200 },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
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
  const errors = (output.errors ?? []).filter((error) => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  const artifacts = {};
  for (const file of files) {
    for (const [name, { abi, evm }] of Object.entries(output.contracts[file] ?? {})) {
      artifacts[name] = { abi, bytecode: `0x${evm.bytecode.object}` };
    }
  }
  return artifacts;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(JSON.stringify(compile()));
}
