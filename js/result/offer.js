import { inLine, price } from "../shared/words.js";

/**
 * How many takes a press of a button starts: what is there already, or runs, is found once.
 *
 * @param {boolean} again whether it is to be another take
 * @param {import("./protocol.js").Quote | null} quote
 * @param {number} wanted
 */
export const takesOf = (again, quote, wanted) =>
  again || quote?.outcome === "SUBMIT" ? wanted : 1;

/**
 * What the buttons of a form say, and the line next to them. Whatever sends something has its price on its button.
 *
 * @param {import("./protocol.js").Quote | null} quote null while it is being asked for
 * @param {boolean} touched whether anything was composed yet
 * @param {number} [count] how many takes are wanted
 * @returns {{generate: string, again: string, hint: string, wrong: boolean, able: boolean}} `again`
 *   is empty where there is nothing to do again
 */
export function offer(quote, touched, count = 1) {
  const nothing = { generate: "Generate", again: "", hint: "", wrong: false, able: false };
  if (!quote) return touched ? { ...nothing, generate: "Generate · …" } : nothing;
  const { backend, estimate, outcome, problem, refusal, notices } = quote;
  const local = backend === "local";
  const one = estimate === null ? quote.price : price(estimate * count);
  const each = estimate === null && count > 1 ? `${quote.price} for each` : one;
  const cost = local ? "free" : each;
  // Nothing is wrong before the reader has done anything.
  if (problem !== null) return { ...nothing, hint: touched ? problem : "", wrong: touched };
  if (!touched) return { ...nothing, hint: local ? "Free preview, drawn on this machine" : "" };
  // Generate stays enabled, because the reader may have lifted a limit in a cell since.
  const can = { again: "", wrong: refusal !== null, able: true };
  if (outcome !== "SUBMIT") {
    const again = `${count > 1 ? `${count} more takes` : "Another take"} · ${cost}`;
    return {
      ...can,
      generate: "Generate",
      again,
      hint: refusal ?? inLine([quote.words, notices], " "),
    };
  }
  const hint = refusal ?? inLine([local && quote.words, notices], " ");
  return { ...can, generate: `Generate${count > 1 ? ` ${count}` : ""} · ${cost}`, hint };
}
