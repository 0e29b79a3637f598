/**
 * Styles of one widget alone. A page has the styles of all widgets that were shown on it, each as
 * a sheet of its own, and they use the same class names for things that look otherwise.
 */

/** What stands in the sources for the class of the widget's outermost element. */
const ROOT = ".kling-widget";

/**
 * The sheet with every rule kept to what is inside of `root`. Rules weigh as much as before, so
 * what they do to each other, and to those of the page, stays.
 *
 * @param {string} css as esbuild minifies it
 * @param {string} root selector of the widget's outermost element
 */
export function ownStyles(css, root) {
  let [text, inside, frames] = ["", "", ""];
  const named = new RegExp(`\\${root}(?![\\w-])`);
  const close = () => {
    if (inside) text += `:where(${root}){${inside}}`;
    inside = "";
  };
  // esbuild leaves the values of variables as they are written.
  const short = css.replaceAll(ROOT, root).replaceAll(", ", ",");
  for (const rule of rulesOf(short)) {
    // Key frames have no place inside of a rule; those of all widgets are the same.
    if (rule.startsWith("@keyframes")) frames += rule;
    else if (!named.test(rule)) inside += rule;
    else {
      if (rule.search(named)) throw new Error(`It would look for a ${root} inside of one: ${rule}`);
      close();
      text += rule;
    }
  }
  close();
  return text + frames;
}

/** Outermost rules of a sheet. @param {string} css */
function rulesOf(css) {
  /** @type {string[]} */
  const rules = [];
  let [from, depth] = [0, 0];
  for (const { 0: brace, index } of css.matchAll(/[{}]/g)) {
    depth += brace === "{" ? 1 : -1;
    if (depth) continue;
    rules.push(css.slice(from, index + 1).trim());
    from = index + 1;
  }
  return rules;
}
