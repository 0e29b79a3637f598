/**
 * Parameters in which two jobs differ, each with the values of both; "–" where one has none.
 *
 * @param {[name: string, text: string][]} one
 * @param {[name: string, text: string][]} other
 * @returns {[name: string, one: string, other: string][]}
 */
export function differences(one, other) {
  const [first, second] = [new Map(one), new Map(other)];
  const names = [...new Set([...first.keys(), ...second.keys()])];
  return names
    .map(
      (name) =>
        /** @type {[string, string, string]} */ ([
          name,
          first.get(name) ?? "–",
          second.get(name) ?? "–",
        ]),
    )
    .filter(([, a, b]) => a !== b);
}
