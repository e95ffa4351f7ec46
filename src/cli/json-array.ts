import type { OutputStream } from "./context.ts";

/**
 * An array as `JSON.stringify(rows, undefined, 2)` writes it, row by row, so that a long one is never
 * one text in memory, and whoever reads can begin.
 */
export async function writeJsonArray(
  stream: Pick<OutputStream, "write">,
  rows: Iterable<unknown>,
): Promise<void> {
  let text = "[";
  let isFirst = true;
  for (const row of rows) {
    const lines = JSON.stringify(row, undefined, 2).replaceAll("\n", "\n  ");
    text += `${isFirst ? "" : ","}\n  ${lines}`;
    isFirst = false;
    if (text.length < chunkCharacters) continue;
    await stream.write(text);
    text = "";
  }
  await stream.write(`${text}${isFirst ? "" : "\n"}]\n`);
}

const chunkCharacters = 65_536;
