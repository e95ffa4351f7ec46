import { explanations } from "../../src/cli/explanations.ts";
import { type FailureCode, failureCodes } from "../../src/cli/failure-codes.ts";

/** docs/troubleshooting.md: every code, from the same words that `fly-vault explain` prints. */
export function troubleshootingDocs(): string {
  const codes = Object.keys(failureCodes).filter(isCode);
  const sections = areas.map(({ prefix, title }) => {
    const own = codes.filter((code) => code.startsWith(`FV-${prefix}-`)).toSorted();
    return [`## ${title}`, ...own.map(entry)].join("\n\n");
  });
  return `${[introduction, ...sections].join("\n\n")}\n`;
}

const introduction = `# Troubleshooting

Every error ends with a code. Here are all of them: what you see, why, and what to do. \`fly-vault explain CODE\` prints the same. Written by \`FV_UPDATE_DOCS=1 bun test test/cli/docs.test.ts\`; the test fails when it is out of date.

Where to begin when you have no code, or do not believe it:

| What is wrong                          | Look with                                                                                      |
| -------------------------------------- | ---------------------------------------------------------------------------------------------- |
| nothing gets through to a vault        | \`fly-vault doctor\`: every step from here to the machine, and the first one that fails          |
| the network here                       | \`fly-vault netcheck\`: UDP, the proxy, addresses, without any token                             |
| it is slow                             | \`fly-vault ping\`, \`fly-vault speedtest\`, \`fly-vault exec --timing\`                           |
| the machine itself                     | \`fly-vault status\`, \`fly logs\`                                                               |
| app, token, machines                   | \`fly-vault-admin doctor\`                                                                       |
| somebody else is to look               | \`fly-vault bundle\` packs configuration and checks, without secrets                             |`;

/** In the order in which things go wrong for somebody new. */
const areas = [
  { prefix: "CLI", title: "The command line" },
  { prefix: "CFG", title: "The configuration" },
  { prefix: "NET", title: "The network" },
  { prefix: "ATT", title: "Who answers" },
  { prefix: "AUTH", title: "The access token" },
  { prefix: "VER", title: "Versions" },
  { prefix: "VM", title: "The machine" },
  { prefix: "EXE", title: "Commands" },
  { prefix: "SES", title: "Sessions" },
  { prefix: "FWD", title: "Forwards" },
  { prefix: "CP", title: "Copies" },
  { prefix: "PROV", title: "The root filesystem" },
  { prefix: "API", title: "Fly's Machines API" },
  { prefix: "ADM", title: "Tenants" },
  { prefix: "PRX", title: "The proxy" },
  { prefix: "UPD", title: "Updates" },
  { prefix: "SYS", title: "This computer" },
  { prefix: "INT", title: "fly-vault itself" },
] as const;

/** The prefixes that have a section: a new one is forgotten by no test. */
export const documentedPrefixes: readonly string[] = areas.map(({ prefix }) => prefix);

function entry(code: FailureCode): string {
  const { title, exitCode } = failureCodes[code];
  const { meaning, remedy } = explanations[code];
  return [
    `### ${code}`,
    [
      `- **You see:** ${title} (exit ${exitCode}).`,
      `- **Because:** ${markdown(meaning)}`,
      `- **Do:** ${markdown(remedy)}`,
    ].join("\n"),
  ].join("\n\n");
}

function markdown(text: string): string {
  return text.replaceAll("[vault.NAME]", "`[vault.NAME]`");
}

function isCode(name: string): name is FailureCode {
  return Object.hasOwn(failureCodes, name);
}
