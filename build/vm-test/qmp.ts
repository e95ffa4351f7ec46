/** Says one command to qemu and waits until it has been done. Rejects with what qemu says against it. */
export async function qmp(socketPath: string, command: "stop" | "cont"): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const decoder = new TextDecoder();
  let rest = "";
  const socket = await Bun.connect({
    unix: socketPath,
    socket: {
      data: (_socket, bytes) => {
        const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const answer = JSON.parse(line) as { id?: string; error?: { desc: string } };
          if (answer.error !== undefined) reject(new Error(`qemu: ${answer.error.desc}`));
          else if (answer.id === command) resolve();
        }
      },
      close: () => reject(new Error(`qemu went away at "${command}"`)),
    },
  });
  for (const execute of ["qmp_capabilities", command])
    socket.write(`${JSON.stringify({ execute, id: execute })}\n`);
  try {
    await promise;
  } finally {
    socket.end();
  }
}
