/** @typedef {import("./protocol.js").Quote} Quote */

/** @param {number} dollars */
const price = (dollars) => `about $${dollars.toFixed(2)}`;

/**
 * What the compose area's buttons say, and the line beside them.
 *
 * @param {Quote | null} quote null while it is being asked for
 * @param {boolean} touched whether anything was composed yet
 * @returns {{generate: string, again: string, hint: string, wrong: boolean, able: boolean}} `again`
 *   is empty where there is nothing to do again
 */
export function offer(quote, touched) {
  const nothing = { generate: "Generate", again: "", hint: "", wrong: false, able: false };
  if (!quote) return { ...nothing, hint: touched ? "Checking…" : "" };
  const { backend, estimate, problem, take, unfinished } = quote;
  const local = backend === "local";
  const cost = local ? "free" : estimate === null ? "price unknown" : price(estimate);
  const preview = local ? "Free preview, drawn on this machine" : "";
  if (problem !== null) return { ...nothing, hint: problem, wrong: touched };
  if (!touched) return { ...nothing, hint: preview };
  if (take !== null) {
    const hint = "Made before: it is shown at no charge";
    return {
      ...nothing,
      generate: `Show take ${take}`,
      again: `New take · ${cost}`,
      hint,
      able: true,
    };
  }
  if (unfinished !== null) {
    const hint = "This request is under way: no new charge";
    return {
      ...nothing,
      generate: "Follow its job",
      again: `New take · ${cost}`,
      hint,
      able: true,
    };
  }
  const more = local && estimate !== null ? ` (${price(estimate)} on fal)` : "";
  return {
    ...nothing,
    generate: local ? "Generate preview" : `Generate · ${cost}`,
    hint: local ? `${preview}${more}` : "",
    able: true,
  };
}

/**
 * How long ago something was, in its largest unit.
 *
 * @param {number} seconds
 */
export function ago(seconds) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
  ])) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return "just now";
}

/** Bytes as a person reads them. @param {number} bytes */
export const fileSize = (bytes) =>
  bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
