// Bundles each front end of js/ into kling_nb/static/, as NAME.js and NAME.css.
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { SHORTENED, shortVariables } from "./short_names.mjs";

const FRONT_ENDS = [{ name: "job", mangleProps: SHORTENED }, { name: "panel" }, { name: "grid" }];

const at = (relative) => fileURLToPath(new URL(relative, import.meta.url));

async function bundle({ name, ...options }) {
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
  for (const { path, text } of outputFiles) await writeFile(path, shortVariables(text));
}

// esbuild has said by then what is wrong, and where; a stack trace of its own would hide it.
for (const frontEnd of FRONT_ENDS) await bundle(frontEnd).catch(() => process.exit(1));
