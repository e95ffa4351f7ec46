/** Lines of a stream, without their ends; what comes after the last one is no line. Throws `RangeError` for one that is longer than `bytesMax`. */
export async function* webLines(
  chunks: AsyncIterable<Uint8Array>,
  bytesMax: number,
): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of chunks) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    yield* lines;
    if (text.length > bytesMax) throw new RangeError(`A line of more than ${bytesMax} bytes`);
  }
}
