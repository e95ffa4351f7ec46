import { describe, expect, test } from "bun:test";
import { main } from "../../src/roles/client/main.ts";
import { runClient } from "./client-process.ts";
import { memoryContext } from "./memory-context.ts";
import { PtyClient } from "./pty-client.ts";

/** What sessions are like for the client of vault "dev", whatever carries its datagrams and whoever runs the commands. */
export function sessionContract(name: string, env: () => Readonly<Record<string, string>>): void {
  const exec = async (words: readonly string[]) => {
    const context = memoryContext({ env: env() });
    const code = await main(["exec", "-q", ...words], context);
    return { code, out: context.out(), err: context.err() };
  };

  describe(name, () => {
    test("words arrive as they are; stdout, stderr and the exit code come back apart", async () => {
      const words = ["a b", "", "$HOME", "'\"", "--help", "-x", "*", "\n", "ü€😀"];
      const script = 'printf "[%s]" "$@"; echo err >&2; exit 42';
      const result = await exec(["dev", "--", "sh", "-c", script, "sh", ...words]);
      const out = words.map((word) => `[${word}]`).join("");
      expect(result).toEqual({ code: 42, out, err: "err\n" });
    });

    test("a command killed by a signal gives 128 and the signal", async () => {
      expect((await exec(["dev", "sh", "-c", "kill -TERM $$"])).code).toBe(143);
    });

    test("a session that has ended is attached to, and shows what it said", async () => {
      const script = ["sh", "-c", "echo all; exit 3"];
      const ended = { code: 3, out: "all\n", err: "" };
      expect(await exec(["--session", "kept", "dev", "--", ...script])).toEqual(ended);
      expect(await exec(["--session", "kept", "dev"])).toEqual(ended);
    });

    test("24 MiB pass in and out of a real process, whole", async () => {
      const input = crypto.getRandomValues(new Uint8Array(65_536));
      const whole = new Uint8Array(24 << 20);
      for (let at = 0; at < whole.length; at += input.length) whole.set(input, at);
      const { code, out, err } = await runClient(["exec", "-q", "dev", "cat"], env(), whole);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(Bun.hash(out)).toBe(Bun.hash(whole));
    });

    test("a console has its size and keys; it is left, found again, and ends with the shell's own code", async () => {
      const first = new PtyClient(["connect", "-q", "dev"], env());
      try {
        await first.shows(/[$#>] /);
        first.type("MARK=here; stty size; echo $MARK\r");
        await first.shows(/30 100\r\nhere/);
        first.type("\r~.");
        expect(await first.exited()).toBe(0);
      } finally {
        first.close();
      }
      const second = new PtyClient(["connect", "-q", "dev"], env());
      try {
        await second.shows(/here/);
        second.type("echo again-$MARK; exit 7\r");
        await second.shows(/again-here/);
        expect(await second.exited()).toBe(7);
      } finally {
        second.close();
      }
    });
  });
}
