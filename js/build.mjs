// Bundles each widget of js/ into kling_nb/static/, as NAME.js and NAME.css.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

/** The widgets, and the class of the outermost element of each. */
const ROOTS = { job: "kling-job", panel: "kling-panel", grid: "kling-sweep" };

const at = (relative) => fileURLToPath(new URL(relative, import.meta.url));

const MINIFIED = {
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
};

async function script(name) {
  const bundled = await build({
    ...MINIFIED,
    entryPoints: [at(`${name}/index.js`)],
    bundle: true,
    format: "esm",
    write: false,
  });
  return bundled.outputFiles[0].text;
}

/**
 * The sheet of one widget. A page has the sheets of all widgets that it has shown, and they share
 * class names, so every rule is nested in the root of its widget. `:where` adds no weight.
 */
async function sheet(name, root) {
  const bundled = await build({
    entryPoints: [at(`${name}/style.css`)],
    bundle: true,
    write: false,
  });
  const rules = bundled.outputFiles[0].text;
  // Key frames cannot be nested; those of all widgets are the same.
  const frames = await readFile(at("shared/key_frames.css"), "utf8");
  const nested = `:where(.${root}) {\n${rules}\n}\n${frames}`;
  return (await transform(nested, { ...MINIFIED, loader: "css" })).code;
}

try {
  await mkdir(at("../kling_nb/static"), { recursive: true });
  for (const [name, root] of Object.entries(ROOTS)) {
    await writeFile(at(`../kling_nb/static/${name}.js`), await script(name));
    await writeFile(at(`../kling_nb/static/${name}.css`), await sheet(name, root));
  }
} catch (error) {
  // esbuild has printed its own complaints; a stack trace would hide them.
  if (!error.errors) process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
