/**
 * Has the machine's first process run a line of shell, over its second serial port. Resolves with what it
 * printed; rejects when it fails, or when there is no answer for so long.
 */
export async function guestCommand(
  socketPath: string,
  line: string,
  timeoutMs = 30_000,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const decoder = new TextDecoder();
  let text = "";
  const socket = await Bun.connect({
    unix: socketPath,
    socket: {
      data: (_socket, bytes) => {
        text += decoder.decode(bytes, { stream: true });
        const end = /\n== (\d+)\n/.exec(text);
        if (end === null) return;
        const printed = text.slice(0, end.index);
        if (end[1] === "0") resolve(printed);
        else reject(new Error(`In the machine, "${line}" ended with ${end[1]}: ${printed}`));
      },
      close: () => reject(new Error(`The machine went away at "${line}"`)),
    },
  });
  const timer = setTimeout(() => reject(new Error(`No answer to "${line}": ${text}`)), timeoutMs);
  try {
    socket.write(`${line}\n`);
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.end();
  }
}
