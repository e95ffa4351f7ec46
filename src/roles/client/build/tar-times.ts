import { Readable } from "node:stream";
import { extract, type Extracted, type Headers, pack, type Pack } from "tar-stream";

/**
 * The same archive, in which nothing is younger than `newestMs` and owners have no names. For what an
 * engine on this computer wrote; archives of others are read by the machine alone.
 */
export async function* clampTimes(
  archive: AsyncIterable<Uint8Array>,
  newestMs: number,
): AsyncGenerator<Uint8Array> {
  const reader = extract();
  const writer = pack();
  copyEntries(reader, writer, newestMs).then(
    () => writer.finalize(),
    (error: unknown) => writer.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  const source = Readable.from(archive);
  const closed = new Promise<void>((resolve) => source.once("close", resolve));
  source.on("error", (error) => reader.destroy(error)).pipe(reader);
  // They reject what awaits them as well; an event without a listener would end the program.
  reader.on("error", ignore);
  try {
    yield* writer;
  } finally {
    source.destroy();
    await closed;
  }
}

async function copyEntries(
  entries: AsyncIterable<Extracted>,
  writer: Pack,
  newestMs: number,
): Promise<void> {
  for await (const entry of entries) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const target = writer.entry(clamped(entry.header, newestMs), (error) => {
      if (error == null) resolve();
      else reject(error);
    });
    target.on("error", ignore);
    entry.on("error", ignore);
    promise.catch(ignore);
    for await (const chunk of entry)
      if (!target.write(chunk)) await new Promise<void>((drained) => target.once("drain", drained));
    target.end();
    await promise;
  }
}

function clamped(headers: Headers, newestMs: number): Headers {
  const mtime = new Date(Math.min(headers.mtime.getTime(), newestMs));
  return { ...headers, mtime, uname: "", gname: "" };
}

function ignore(): void {}
