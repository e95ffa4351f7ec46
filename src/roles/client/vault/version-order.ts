/** Whether `version` ("0.12.1", perhaps with "-rc1" behind) is `least` or newer. What is no version is older than any. */
export function isAtLeast(version: string, least: string): boolean {
  const [have, want] = [numbersOf(version), numbersOf(least)];
  if (have === undefined || want === undefined) return false;
  for (const [index, number] of want.entries()) {
    const own = have[index] ?? 0;
    if (own !== number) return own > number;
  }
  return true;
}

function numbersOf(text: string): number[] | undefined {
  const found = /^\d{1,6}(?:\.\d{1,6}){0,2}(?=$|[-+])/.exec(text);
  return found?.[0].split(".").map(Number);
}
