/**
 * What can go wrong with Fly's API, with a rollout, with what people write, and with what strangers
 * send to the usage facts: each row beside the test that shows what becomes of it. `shownBy` stands in
 * a test of `where`, a file or folder below `test/`; rows.test.ts sees to that.
 */
export interface Row {
  readonly what: string;
  readonly where: string;
  readonly shownBy: string;
}

const rows = (where: string, ...cases: readonly (readonly [string, string])[]): Row[] =>
  cases.map(([what, shownBy]) => ({ what, where, shownBy }));

const admin = "roles/admin";

/** At every call that creating and deleting makes, where nothing else is said. */
export const apiRows: readonly Row[] = [
  ...rows(
    `${admin}/api-faults.test.ts`,
    ["401", '"401"'],
    ["404 once, after a creation", '"404"'],
    ["408, done", '"done-but-408"'],
    ["408, not done", '"408"'],
    ["409, a lease or a stale version", '"409"'],
    ["409, no room on the host", '"409-no-capacity"'],
    ["412, a volume in use", '"412"'],
    ["422, refused", '"422"'],
    ["422, no room in the region", '"422-insufficient_capacity"'],
    ["429 without Retry-After", '"429"'],
    ["429 with Retry-After: 0", '"429-wait-0"'],
    ["500, not done", '"not-done-500"'],
    ["500, done", '"done-but-500"'],
    ["502 with a page of HTML", '"502-html"'],
    ["503 without a body", '"503-empty"'],
    ["504 after success", '"done-but-504"'],
    ["200 with JSON that is cut short", '"answer-lost"'],
    ["200 with wrong types and nulls", '"wrong-types"'],
    ["a list that lags behind", "makes no second machine, and takes nobody's word that a tenant"],
  ),
  ...rows(
    `${admin}/faults.test.ts`,
    ["403", '"403"'],
    ["422, the name is taken by what was just made", '"done-but-422-name_taken"'],
    ["429 again and again", "throttled calls are slowed down and go through"],
    ["nobody listens", "an API that is not there is exit 6"],
    ["a machine or volume vanishes between calls", "what vanishes between two calls"],
    ["nothing is made twice", "a call that was done although it failed makes nothing twice"],
    ["nothing is left behind", "a create that fails leaves nothing behind"],
  ),
  ...rows(
    "fly",
    ["404 for good, right after a creation", "takes a machine that is not there yet for one that"],
    ["429 with Retry-After: 3600", "Retry-After is obeyed, and a long one is told rather than"],
    ["429 without end", "a read gives up after so many attempts, and names status"],
    ["reset before headers", "no such host: nothing was done; no TLS there, or a connection reset"],
    ["reset within the body", "a connection cut in the middle leaves the outcome unknown"],
    ["TLS that fails, before or after", "over TLS that is spoilt afterwards, is not one that was"],
    ["no such name", "http://no-such-host.invalid"],
    ["a byte a second", "an answer that comes a byte at a time is cut off at the same limit"],
    ["hangs for ever", "an API that hangs for ever: at the time limit a read is tried again"],
    ["200 with status error", "start: 200 with status error is an error all the same"],
    ["page 2 is missing", "a list whose second page cannot be had is no list"],
    ["empty page with a cursor", "lists follow the cursor to the end, through empty pages"],
    ["repeated cursor", "a cursor that repeats ends the list with an error"],
    ["a state nobody knows", "nulls, missing config and unknown states are taken as they come"],
    ["an answer too long", "answers that are no JSON, of a wrong shape, or too long are malformed"],
    ["a hundred thousand machines", "a hundred thousand machines, page by page, in bounded memory"],
    ["no more than Fly's pace", "calls keep below Fly's limits by themselves"],
    ["status and words of an error, no token", "come from message, error, or plain text; never"],
  ),
  ...rows(
    admin,
    ["a lease of somebody else", "somebody else's lease is respected"],
    ["a lease whose answer was lost", "a lease whose answer was lost is found by its mark"],
    ["a stale current_version", "an update names the version it was made for"],
    ["a lease that ends in a rollout", "what others do: leases, versions, deletions, answers lost"],
    [
      "no volume of somebody else",
      "a volume that somebody else's machine mounts now is left alone",
    ],
    ["kill -9 at each call", "create, killed"],
    ["kill -9 of a deletion", "delete, killed"],
    ["kill -9 by chance", "at calls picked by chance"],
    [
      "what is left over is found",
      "what was left cordoned and leased, and a lone volume, are found",
    ],
    ["hundreds of schedules in virtual time", "any weather, killed and resumed anywhere"],
  ),
];

export const rolloutRows: readonly Row[] = rows(
  admin,
  ["1 to 12 machines, any canary, concurrency and bound", "any weather, killed and resumed"],
  ["200 machines, one call in twenty failing", "200 tenants, one call in twenty failing"],
  ["never more unavailable than allowed", "on.fleet.cordonedMax <= Math.min(concurrency"],
  ["never two of one tenant", "on.fleet.cordonedOfTenantMax <= 1"],
  ["canaries of other tenants and regions", "canaries run, and are of other tenants and regions"],
  ["what stands still stays so", "what stands still stays so, what is new already is skipped"],
  ["the lease is renewed at a third", "a lease is renewed at a third of its life, and not trusted"],
  ["checked before each change", "no change is sent under a lease that may be over"],
  ["the first failure ends it", "a sick image: the first canary ends it, its events are told"],
  ["back, the newest first", "all go back, the newest first, and a resume sees to the rest"],
  ["one after the other, also those held up", "waits for the one that went on without it"],
  ["a crash at any line of the journal", "killed with -9 at 30 random lines of the journal"],
  ["finished machines are not touched again", "after a crash only what the journal has open"],
  ["two at once", "two at once: the second is refused"],
  ["images pinned by digest", "a tag is looked up once; Fly's registry gets Fly's token"],
  ["too many machines", "a fleet that is too large for one rollout is refused"],
  ["open sessions", "a drain waits until the last session is over, then updates"],
  ["the log of what failed", "of a machine that failed the last log lines are shown"],
  ["a journal that is damaged", "a damaged journal stops no other rollout, and is named"],
  ["metadata that somebody changes meanwhile", "metadata that somebody changed between look and"],
);

export const inputRows: readonly Row[] = [
  ...rows(
    `${admin}/bad-template.test.ts`,
    ["no such file, a folder, unreadable", "that are not there, folders, unreadable, in a loop"],
    ["empty, not UTF-8, YAML, JSON, a bomb, 1 MiB", "empty, not UTF-8, too long, JSON, YAML"],
    ["byte order mark, CRLF", "with a byte order mark and carriage returns are no mistake"],
    ["a key twice", '"version = 1\\nversion = 1"'],
    ["unknown keys", "keys that are unknown, with what was probably meant"],
    ["a wrong type", "must be a text"],
    ["numbers of every wrong kind", '"9007199254740993"'],
    ["a bad app", "is no app name"],
    ["placeholders, --var", "placeholders and --var"],
    ["what a value brings along is data", "What a value brings along is data"],
    ["two volumes, mounts twice", "one volume only"],
    ["no mount", "there is no mount"],
    ["memory, CPUs, ports", "memory_mb: must be a whole number of MB, from 256"],
    ["a region that is none", "machine.region: is no region"],
    ["a secret in plain text", "looks like a secret in plain text"],
    ["no digest where one is asked for", "an image without a digest, where one is asked for"],
    ["skip_launch with a wait", "machine.skip_launch: is true, so there is no start to wait for"],
    ["tenant ids", "tenants, tokens, and waiting for what is not started"],
    ["tokens: weak, mistyped, with blanks", '"changeme", "12345678"'],
  ),
  ...rows(
    admin,
    ["a region that Fly does not know", "a region that is well written and unknown to Fly"],
    ["a lease of the template's own", "a lease from the template is released"],
    ["a key file that others can read", '"others can read"'],
    ["a secret that others named", "a secret's file that is named wins over a variable"],
    ["a note that is damaged or old", "is not believed when it is damaged, of another version"],
    ["a state folder that cannot be written", "cannot be noted: says so, and nothing is made"],
    ["no terminal to ask on", "unless there is nobody who could: CI, or asked not to ask"],
  ),
  ...rows(
    "cli",
    ["durations", '"10", "1y", "-1s", "400d"'],
    ["relative XDG paths", "a relative XDG one is ignored"],
    [
      "a variable in place of a flag",
      "a variable stands in for an absent flag, is checked like it",
    ],
  ),
  // Of the client's own file.
  ...rows(
    "roles/client",
    ["a vault that is not there", "an unknown vault is exit 3 and lists those there are"],
    ["vault names", "__proto__"],
    ["no org, no app", "without %s it is FV-CFG-006"],
    ["addresses", "fdaa::3:8443"],
    ["tokens that others can read", "a token that others can read is refused with the fix"],
    ["a command that gives the token", "a command gives the token; its failures are told apart"],
    ["forwards", "two forwards on one port, and more than there may be, are usage errors"],
  ),
];

export const usageRows: readonly Row[] = [
  ...rows(
    admin,
    ["no bearer", "a bearer is asked for everywhere, and a refusal says no more than that"],
    ["almost the bearer, twice, joined, long, look-alikes", "what is almost the bearer is not"],
    ["too many wrong ones", "whoever is refused too often hears 429, and the bearer still works"],
    ["methods, paths, bodies", "only GET and HEAD, of three paths, without a body or parameters"],
    ["a name that was bent to loopback", "a name that was bent to loopback is sent away"],
    ["what is no HTTP", "over a socket: answers, and what is no request"],
    [
      "a thousand idle sockets, and drips",
      "a thousand connections that bring nothing, or too slowly",
    ],
    ["a hundred at once", "all who ask at once, and soon after, share one look at Fly"],
    ["no bearer on a public address", "what other computers may reach needs a bearer"],
    [
      "a bearer that could be guessed",
      "a bearer that could be guessed, or not be sent, is refused",
    ],
    ["no stack", "a mistake of ours is told as one, without a trace of it"],
    ["an upstream that fails", "while Fly fails the facts before are given out, and say so"],
    ["an upstream that hangs", "nobody waits for ever: late, the facts before are given out"],
    ["a disk that is full", "while nothing can be written only so much waits"],
  ),
];
