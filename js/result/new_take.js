import { messageOf } from "../shared/words.js";
import { takesOf } from "./offer.js";

/** How long the reader must have stopped changing things before the price is asked for. */
const PAUSE_MS = 250;

/**
 * "Generate": its price, and the run. It runs exactly the request whose price is shown.
 *
 * @param {import("../shared/kernel.js").Kernel} kernel
 * @param {() => void} onChange
 */
export function newTakeOf(kernel, onChange) {
  /** @type {{key: number, changes: Record<string, any>} | null} */
  let wanted = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const newTake = {
    /** @type {import("./protocol.js").Quote | null} */
    quote: null,
    /** Why it cannot be done. */
    error: "",
    sending: false,
    /** Whether nothing is wanted: at first, and once it was started. */
    idle: () => !wanted,

    /**
     * Says what is wanted; asks the price after a moment.
     *
     * @param {number} key of the take to start from
     * @param {Record<string, any>} changes values by parameter, null for the default
     * @param {number} [pause] milliseconds
     */
    want(key, changes, pause = PAUSE_MS) {
      const asked = { key, changes };
      wanted = asked;
      newTake.quote = null;
      newTake.error = "";
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const [quote, error] = await kernel.ask("quote", asked).then(
          ({ msg }) => [msg, ""],
          (fault) => [null, messageOf(fault)],
        );
        if (wanted === asked) Object.assign(newTake, { quote, error });
        onChange();
      }, pause);
      onChange();
    },

    /**
     * Starts it. The kernel shows the new take by itself.
     *
     * @param {boolean} again whether it is to be another take
     * @param {number} count how many takes; what is there already, or runs, is found once
     * @returns {Promise<boolean>} whether it was started
     */
    async generate(again, count) {
      const { quote, sending } = newTake;
      if (!quote || sending) return false;
      newTake.sending = true;
      newTake.error = "";
      onChange();
      const { backend, outcome } = quote;
      const about = again
        ? { new: true, count, outcome: "SUBMIT" }
        : { count: takesOf(again, quote, count), outcome };
      try {
        await kernel.ask("generate", { ...wanted, backend, ...about });
        wanted = newTake.quote = null; // a second click is a second wish, with a price of its own
      } catch (error) {
        newTake.error = messageOf(error);
        const fresh = kernel.ask("quote", /** @type {object} */ (wanted)); // it may cost something now
        newTake.quote = await fresh.then(({ msg }) => msg).catch(() => null);
      }
      newTake.sending = false;
      onChange();
      return !newTake.error;
    },

    close: () => clearTimeout(timer),
  };
  return newTake;
}
