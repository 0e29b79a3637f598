/**
 * Names that the build makes shorter: the text of a front end is stored in every notebook that
 * shows it. They are properties of our own objects. None is a name of the page's own objects,
 * crosses to the kernel (protocol.js), or is shared between widgets (sources.js).
 */
const IN_JOB = `
  about align answer ask asked begin blob build busy cancel cancelling changed choose close compare
  complete connected destroy draw drawn drop elapsed end entry failed fetching finished first footage
  frame frames generate held idle kept kernel kernelNow left loadFootage mediaPicker newTake node
  onBusyChange onChange option other phase places poster press quote radio read record redraw
  refresh reject resolve rest resume retrait say scrub sending setDisabled setValues show speed
  subscribe summary svg take timer update video want whole
`;

/** In the panel these are names of other things too: fields of what the kernel says, methods of the page. */
const NOT_IN_PANEL = `close quote resolve take`;

const IN_PANEL = `
  attempt clockOffset composition detail ended everything fault flush
  look mark marked mediaPicker need note openings previews review running
  submit submitting tally theatre touch touched version
`;

/** @param {string} names */
const words = (names) => names.trim().split(/\s+/);

/** @param {string[]} names */
const anyOf = (names) => new RegExp(`^(${names.join("|")})$`);

export const SHORTENED = anyOf(words(IN_JOB));

export const SHORTENED_IN_PANEL = anyOf([
  ...words(IN_JOB).filter((name) => !words(NOT_IN_PANEL).includes(name)),
  ...words(IN_PANEL),
]);

/** @type {Map<string, string>} */
const variables = new Map();

/**
 * The same text with short names for our CSS variables, which begin with `--kling-`.
 *
 * @param {string} text
 */
export function shortVariables(text) {
  const short = (/** @type {string} */ name) => {
    if (!variables.has(name)) variables.set(name, `--k${variables.size.toString(36)}`);
    return variables.get(name);
  };
  return text.replace(
    /(--kling-[a-z]+)(: ?)?/g,
    (_, name, colon) => short(name) + (colon ? ":" : ""),
  );
}
