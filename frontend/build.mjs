// Builds the pages into src/kanad_server/static: hashed names, a gzip of each text beside it, and a manifest that the server reads.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
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

/** The packages whose code reaches the browser, with their licences. */
function packages(metafile) {
  const names = new Set(["swagger-ui-dist"]);
  for (const input of Object.keys(metafile.inputs)) {
    const match = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input);
    if (match) names.add(match[1]);
  }
  return [...names].sort().map((name) => {
    const { version, license } = JSON.parse(fromPackage(`${name}/package.json`).toString());
    return { name, version, license };
  });
}

/** The texts of those licences, as they ask for. */
function licenceTexts(all) {
  const parts = all.map(({ name, version, license }) => {
    const texts = readdirSync(join(HERE, "node_modules", name)).filter((file) => /^(licen[cs]e|notice|copying)|\.LICENSE\.txt$/i.test(file));
    return `${name} ${version} (${license})\n\n${texts.map((file) => fromPackage(`${name}/${file}`).toString().trim()).join("\n\n")}\n`;
  });
  return Buffer.from(parts.join(`\n${"-".repeat(72)}\n\n`));
}

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });

const options = { bundle: true, minify: true, write: false, target: "es2022", metafile: true, logLevel: "warning", legalComments: "none" };
const shared = { ...options, format: "esm", splitting: true, outdir: OUT, jsx: "automatic", jsxImportSource: "preact", entryNames: "[name]-[hash]", chunkNames: "[name]-[hash]" };

// Two passes: the licences that the About page shows come from what the first one bundles.
const first = await build({ ...shared, entryPoints: [join(HERE, "src/main.tsx")], define: { LICENCES: "[]", LICENCE_TEXTS: '""' } });
const bundled = packages(first.metafile);
const texts = keepHashed("licences.txt", licenceTexts(bundled));
const scripts = await build({
  ...shared,
  entryPoints: [join(HERE, "src/main.tsx")],
  define: { LICENCES: JSON.stringify(bundled), LICENCE_TEXTS: JSON.stringify(`/assets/${texts}`) },
});
const alone = { ...options, outdir: OUT, entryNames: "[name]-[hash]" };
const early = await build({ ...alone, entryPoints: ["theme-early", "docs"].map((name) => join(HERE, `src/${name}.ts`)) });
const styles = await build({ ...alone, entryPoints: ["main", "docs"].map((name) => join(HERE, `styles/${name}.css`)) });
for (const result of [scripts, early, styles])
  for (const file of result.outputFiles) keep(basename(file.path), Buffer.from(file.contents));

const entryOf = (result, source) => basename(Object.entries(result.metafile.outputs).find(([, output]) => output.entryPoint?.endsWith(source))[0]);
const main = entryOf(scripts, "src/main.tsx");
const styleSheet = entryOf(styles, "styles/main.css");

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

const shell = (title, head, body) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" type="image/svg+xml" href="/assets/${icon}">
<script src="/assets/${entryOf(early, "src/theme-early.ts")}"></script>
${head.join("\n")}
</head>
<body>${body}</body>
</html>
`;

function keepPage(name, content) {
  writeFileSync(join(OUT, name), content);
  writeFileSync(join(OUT, `${name}.gz`), gzipSync(content, { level: 9 }));
}

const styled = (name) => `<link rel="stylesheet" href="/assets/${name}">`;
keepPage(
  "index.html",
  shell(
    "kanad",
    [styled(styleSheet), ...preloads, `<script type="module" src="/assets/${main}"></script>`],
    '<div id="app"></div><noscript>These pages need JavaScript; the API under /api/v1 does not.</noscript>',
  ),
);

// The calls, tried from the page: swagger-ui as it comes, with our colours.
const swagger = ["swagger-ui.css", "swagger-ui-bundle.js"].map((name) => keepHashed(name, fromPackage(`swagger-ui-dist/${name}`)));
keepPage(
  "docs.html",
  shell(
    "Calls · kanad",
    [styled(swagger[0]), styled(entryOf(styles, "styles/docs.css")), ...[swagger[1], entryOf(early, "src/docs.ts")].map((name) => `<script defer src="/assets/${name}"></script>`)],
    '<header><a href="/">kanad</a> <span>The calls of this server</span> <a href="/openapi.json">openapi.json</a></header><div id="calls"></div>' +
      '<noscript>This page needs JavaScript. All calls, from POST /api/v1/experiments on, are in <a href="/openapi.json">the OpenAPI document</a>.</noscript>',
  ),
);

const named = { initial, styles: [styleSheet], viewer: Object.keys(files).filter((name) => name.startsWith("3Dmol")) };
writeFileSync(join(OUT, "manifest.json"), JSON.stringify({ files, ...named }, null, 1));

// What a page may weigh, in kB after gzip.
const LIMITS = { initial: 60, styles: 12, viewer: 180 };
const weights = Object.entries(LIMITS).map(([part, limit]) => [part, named[part].reduce((total, name) => total + files[name].gzip_bytes, 0) / 1024, limit]);
console.log(`built (kB, gzip): ${weights.map(([part, weight, limit]) => `${part} ${weight.toFixed(1)} of ${limit}`).join(", ")}`);
if (weights.some(([, weight, limit]) => weight > limit || weight === 0)) {
  console.error("the pages are heavier than they may be, or a part of them is missing");
  process.exit(1);
}
