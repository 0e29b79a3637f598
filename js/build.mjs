// Bundles each front end of js/ into kling_nb/static/, as NAME.js and NAME.css.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const FRONT_ENDS = ["job"];

const at = (relative) => fileURLToPath(new URL(relative, import.meta.url));

const made = build({
  entryPoints: FRONT_ENDS.flatMap((name) => [
    { in: at(`${name}/index.js`), out: name },
    { in: at(`${name}/style.css`), out: name },
  ]),
  outdir: at("../kling_nb/static"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});
// esbuild has said by then what is wrong, and where; a stack trace of its own would hide it.
await made.catch(() => process.exit(1));
