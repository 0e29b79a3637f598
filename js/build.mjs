// Bundles each front end of js/ into kling_nb/static/, as NAME.js and NAME.css.
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { ownStyles } from "./own_styles.mjs";
import { SHORTENED, SHORTENED_IN_PANEL, shortVariables } from "./short_names.mjs";

const FRONT_ENDS = [
  { name: "job", root: ".kling-job", mangleProps: SHORTENED },
  { name: "panel", root: ".kling-panel", mangleProps: SHORTENED_IN_PANEL },
  { name: "grid", root: ".kling-sweep" },
];

const at = (relative) => fileURLToPath(new URL(relative, import.meta.url));

async function bundle({ name, root, ...options }) {
  const { outputFiles } = await build({
    entryPoints: [
      { in: at(`${name}/index.js`), out: name },
      { in: at(`${name}/style.css`), out: name },
    ],
    outdir: at("../kling_nb/static"),
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
    ...options,
  });
  await mkdir(at("../kling_nb/static"), { recursive: true });
  for (const { path, text } of outputFiles) {
    const own = path.endsWith(".css") ? ownStyles(text, root) : text;
    await writeFile(path, shortVariables(own));
  }
}

for (const frontEnd of FRONT_ENDS) {
  await bundle(frontEnd).catch((error) => {
    // What esbuild complains of, it has said by then; a stack trace of its own would hide it.
    if (!error.errors) process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
}
