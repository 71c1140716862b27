// Builds the pages into src/kanad_server/static: hashed names, a gzip of each text beside it, and a manifest that the server reads.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = join(HERE, "../src/kanad_server/static");
const TYPES = { ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8" };

const files = {};

function keep(name, content) {
  const packed = gzipSync(content, { level: 9 });
  writeFileSync(join(OUT, name), content);
  writeFileSync(join(OUT, `${name}.gz`), packed);
  files[name] = { type: TYPES[extname(name)], bytes: content.length, gzip_bytes: packed.length };
}

function keepHashed(name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 10);
  const hashed = `${basename(name, extname(name))}-${hash}${extname(name)}`;
  keep(hashed, content);
  return hashed;
}

const fromPackage = (path) => readFileSync(join(HERE, "node_modules", path));

/** The licence of every package whose code reaches the browser. */
function licences(metafile) {
  const packages = new Set();
  for (const input of Object.keys(metafile.inputs)) {
    const match = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input);
    if (match) packages.add(match[1]);
  }
  return [...packages].sort().map((name) => {
    const about = JSON.parse(fromPackage(`${name}/package.json`).toString());
    return { name, version: about.version, license: about.license };
  });
}

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });

const options = { bundle: true, minify: true, write: false, target: "es2022", metafile: true, logLevel: "warning", legalComments: "none" };
const shared = { ...options, format: "esm", splitting: true, outdir: OUT, jsx: "automatic", jsxImportSource: "preact", entryNames: "[name]-[hash]", chunkNames: "[name]-[hash]" };

// Two passes: the licences that the About page shows come from what the first one bundles.
const first = await build({ ...shared, entryPoints: [join(HERE, "src/main.tsx")], define: { LICENCES: "[]" } });
const scripts = await build({
  ...shared,
  entryPoints: [join(HERE, "src/main.tsx")],
  define: { LICENCES: JSON.stringify(licences(first.metafile)) },
});
const theme = await build({ ...options, entryPoints: [join(HERE, "src/theme-early.ts")], outdir: OUT, entryNames: "[name]-[hash]" });
const styles = await build({ ...options, entryPoints: [join(HERE, "styles/main.css")], outdir: OUT, entryNames: "[name]-[hash]" });
for (const result of [scripts, theme, styles])
  for (const file of result.outputFiles) keep(basename(file.path), Buffer.from(file.contents));

const entryOf = (result, source) => basename(Object.entries(result.metafile.outputs).find(([, output]) => output.entryPoint?.endsWith(source))[0]);
const main = entryOf(scripts, "src/main.tsx");
const styleSheet = entryOf(styles, "main.css");

/** The chunks that the entry cannot start without. */
function eager(name, seen = new Set([name])) {
  const output = Object.entries(scripts.metafile.outputs).find(([path]) => basename(path) === name)[1];
  for (const { path, kind } of output.imports)
    if (kind === "import-statement" && !seen.has(basename(path))) {
      seen.add(basename(path));
      eager(basename(path), seen);
    }
  return seen;
}

const initial = [...eager(main)];
const icon = keepHashed("icon.svg", readFileSync(join(HERE, "icon.svg")));
const preloads = initial.filter((name) => name !== main).map((name) => `<link rel="modulepreload" href="/assets/${name}">`);
const shell = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>kanad</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" type="image/svg+xml" href="/assets/${icon}">
<script src="/assets/${entryOf(theme, "theme-early.ts")}"></script>
<link rel="stylesheet" href="/assets/${styleSheet}">
${preloads.join("\n")}
<script type="module" src="/assets/${main}"></script>
</head>
<body><div id="app"></div><noscript>These pages need JavaScript; the API under /api/v1 does not.</noscript></body>
</html>
`;
writeFileSync(join(OUT, "index.html"), shell);
writeFileSync(join(OUT, "index.html.gz"), gzipSync(shell, { level: 9 }));
const named = { initial, styles: [styleSheet] };
writeFileSync(join(OUT, "manifest.json"), JSON.stringify({ files, ...named }, null, 1));

const sum = (names) => names.reduce((total, name) => total + files[name].gzip_bytes, 0);
console.log(`built: initial scripts ${(sum(initial) / 1024).toFixed(1)} kB, styles ${(sum(named.styles) / 1024).toFixed(1)} kB (gzip)`);
