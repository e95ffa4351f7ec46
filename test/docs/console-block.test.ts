import { expect, test } from "bun:test";
import { consoleSteps } from "./console-block.ts";
import { isAsShown, printedLines } from "./loose-output.ts";

const page = `# A page

\`\`\`console
$ cat > note <<'END'
$ not a command
END
$ echo one \\
    two
one two
\`\`\`

\`\`\`sh
$ not of a console block
\`\`\`

## The end

\`\`\`console
$ fly-vault connect acme
root@acme:~# hostname
acme
\`\`\`
`;

test("consoleSteps finds commands with what continues them, output, and what is typed", () => {
  expect(consoleSteps(page)).toEqual([
    { line: 4, command: "cat > note <<'END'\n$ not a command\nEND", shown: [] },
    { line: 7, command: "echo one \\\n    two", shown: [{ kind: "output", text: "one two" }] },
    {
      line: 19,
      command: "fly-vault connect acme",
      shown: [
        { kind: "typed", text: "hostname" },
        { kind: "output", text: "acme" },
      ],
    },
  ]);
});

test("consoleSteps stops at a heading", () => {
  expect(consoleSteps(page, "## The end").map(({ line }) => line)).toEqual([4, 7]);
});

test("consoleSteps refuses a block without an end, and output before any command", () => {
  expect(() => consoleSteps("```console\n$ true")).toThrow("has no end");
  expect(() => consoleSteps("```console\noutput\n```")).toThrow("output of no command");
  expect(() => consoleSteps("```console\n$ cat <<END\n```")).toThrow("has no end");
});

test("isAsShown passes over what is different each time, and nothing else", () => {
  const alike: readonly (readonly [string, string])[] = [
    ["made volume vol_765093763577bcc83 (30 GB)", "made volume vol_00aa93763577bcc83 (1 GB)"],
    ["4.2 GiB in 1 m 50 s, 0 B resent", "900 KiB in 1.2 s, 12 B resent"],
    ["build  make -j8  4.2 s ago", "build        make -j8  1 m 3 s ago"],
    ["sha256 9f2c…, sent", "sha256 9f2caa…69ff45, sent"],
    ["http://127.0.0.1:4280", "http://127.0.0.1:41234"],
  ];
  for (const [shown, printed] of alike) expect(isAsShown([shown], [printed])).toBe(true);
  expect(isAsShown(["made volume"], ["removed volume"])).toBe(false);
  expect(isAsShown(["one"], ["one", "two"])).toBe(false);
  expect(isAsShown(["one", "two"], ["one"])).toBe(false);
  expect(isAsShown([], ["one"])).toBe(false);
});

test("isAsShown takes any lines for a line of dots", () => {
  expect(isAsShown(["one", "...", "four"], ["one", "two", "three", "four"])).toBe(true);
  expect(isAsShown(["one", "..."], ["one"])).toBe(true);
  expect(isAsShown(["...", "four"], ["one"])).toBe(false);
});

test("printedLines drops colours, the home folder, background logs and empty lines at the end", () => {
  const output = '\u001b[1mbold\u001b[0m /tmp/x/file\n{"at":"now"}\n\nlast\n\n';
  expect(printedLines(output, "/tmp/x")).toEqual(["bold /home/me/file", "", "last"]);
});
