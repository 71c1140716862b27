// Runs test/*.test.ts with node's own test runner: bundled by esbuild, as the pages are.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = join(dirname(fileURLToPath(import.meta.url)), "test");
const OUT = mkdtempSync(join(tmpdir(), "kanad-web-test-"));
try {
  const tests = readdirSync(HERE).filter((name) => name.endsWith(".test.ts"));
  await build({
    entryPoints: tests.map((name) => join(HERE, name)), outdir: OUT, outExtension: { ".js": ".mjs" },
    bundle: true, platform: "node", format: "esm", target: "node18", logLevel: "warning", jsx: "automatic", jsxImportSource: "preact",
    // What the modules look at when they are loaded.
    banner: { js: "globalThis.window ??= { location: { pathname: '/', search: '', protocol: 'http:', host: 'here' } }; globalThis.sessionStorage ??= { getItem: () => null };" },
  });
  const { status } = spawnSync(process.execPath, ["--test", "--test-reporter=dot", ...tests.map((name) => join(OUT, name.replace(".ts", ".mjs")))], { stdio: "inherit" });
  process.exitCode = status ?? 1;
} finally {
  rmSync(OUT, { recursive: true, force: true });
}
