/** Texts of `fly-vault help TOPIC`. */
export const topics = {
  config: `CONFIGURATION
  $FLY_VAULT_CONFIG, else $XDG_CONFIG_HOME/fly-vault/config.toml, else
  ~/.config/fly-vault/config.toml. With a token or key in it, its mode must be 0600;
  nobody else may be able to write its folder. fly-vault add writes it for you.

  default_vault = "my-dev"           # by: fly-vault vault use my-dev

  [vault.my-dev]
  address = "my-dev.example:8443"    # host:port of the machine or proxy
  org = "my-org"                     # Fly organisation that must vouch for it
  app = "my-dev-vault"               # app that must be attested
  machine_id = "148e21ea7e46e8"      # else the first one seen is remembered
  access_token = "fvt1_..."          # or one of (fly-vault token set my-dev):
  # token = { keychain = true }
  # token = { file = "~/.config/fly-vault/my-dev.token" }
  # token = { command = ["op", "read", "op://dev/my-dev/token"] }
  # admission_key = "fva1_..."       # without it a machine that has one is silent
  # transport = "auto"               # quic: UDP alone; tcp: TLS over TCP, by a proxy
  # web_address = "wss://.../v1/datagrams"  # for tcp, else wss://HOST of address
  # link_idle = "10m"                # the background link ends so long after its
                                     # last command ("0s": there is none)
  # terminfo = "push"                # fallback: xterm-256color; off: TERM as it is
  forward = ["8080:localhost:8080"]  # these three are used when no forward is said
  # reverse_forward = ["9000:localhost:9000"]
  # dynamic_forward = ["1080"]
  # auto_forward = "on"              # what begins to listen there: notify, off
  # auto_forward_ports = ["3000-3999", "!9229"]  # these alone, but for that one
  rootfs = "~/rootfs/dev.tar.zst"    # tar, tar.gz or tar.zst, uploaded
  # rootfs_url = "https://..."       # or fetched by the machine itself
  # rootfs_sha256 = "..."            # refuse any other archive
  # issuer = "https://..."           # instead of https://oidc.fly.io/<org>
  # attest = { image_digests = ["sha256:..."] }  # and see: fly-vault help trust

  The vault may be left out: FLY_VAULT_VAULT names it, or .fly-vault.toml in this
  folder or one above, or default_vault, or it is the only one. Such a file may hold
  nothing but this; it must be yours:

  vault = "my-dev"
  forward = ["3000"]                 # in place of the vault's
  [env]                              # for shells and commands there
  RAILS_ENV = "development"
`,
  environment: `ENVIRONMENT
  FLY_VAULT_CONFIG      configuration file
  FLY_VAULT_HOME        one folder for configuration, state and cache
  FLY_VAULT_VAULT       the vault that is meant when none is named
  FLY_VAULT_NO_INPUT    ask nothing, as --no-input; so does CI
  FLY_VAULT_TOKEN_FILE  file with the access token
  FLY_VAULT_TOKEN       the access token; taken out before anything is started
  FLY_VAULT_NO_LINK     no background link (fly-vault help link)
  FLY_VAULT_RELEASES    where releases are looked for (version --check, self-update)
  FLY_VAULT_RELEASE_KEY  whose signature they must bear, in place of the built-in one
  XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_CACHE_HOME, XDG_RUNTIME_DIR
                        where fly-vault/ folders lie
  LANG, LC_*            passed on; C.UTF-8 where the vault has no such locale
  TERM, COLORTERM       passed on to terminals in the vault
  TERMINFO, TERMINFO_DIRS, HOME
                        where a description of the terminal is looked for, which
                        travels where the vault has none
  CI, TERM=dumb         no redrawn progress
  NO_COLOR, CLICOLOR=0  no colours on a terminal
  FORCE_COLOR, CLICOLOR_FORCE
                        colours everywhere; --color says it for one command
  CI                    no background link either, unless --link asks for one
  No .env or bunfig.toml of the current folder is ever read.
`,
  trust: `WHOM FLY-VAULT TRUSTS
  On every connection Fly signs who is at its other end: organisation, app, machine,
  image. That is checked before anything derived from the token is sent, and bound to
  this very TLS channel. fly-vault verify VAULT makes a new one and shows it.

  Always demanded       org and app of the configuration
  machine_id            that machine and no other; without it the first one seen is
                        remembered ("first use") and any other refused
  attest = { ... }      more, each of it optional:
    machine = "ID"                    as machine_id
    image_digests = ["sha256:..."]    one of these images
    pin_image = true                  the image first seen
    min_init_version = "0.2.0"        no older init; told by the machine itself
  A machine or image that was changed on purpose: fly-vault trust VAULT shows both,
  asks, and remembers the new one. What the configuration says stays in force.

  NOT COVERED
    Fly's own hosts, and whoever has an API token of the organisation
    data at rest: the volume is not encrypted by us
    which process in the machine answers: a guest that broke out of its namespaces
    could ask for the same evidence, which is why the token is proven by both sides
    region, image name and init version are shown as told; the last is not signed
`,
  forwards: `FORWARDS
  -L  here to there: listens on this computer, leads into the vault
  -R  there to here: listens in the vault, leads to this computer
  -D  a SOCKS proxy here (4, 4a, 5); names are resolved in the vault
  -W  standard input and output joined to HOST:PORT or /path.sock

  3000                          the same port at both ends
  8080:3000                     localhost:3000 of the other end
  5432:db:5432                  another host, as the other end sees it
  127.0.0.2:8080:localhost:80   an address of its own to listen on
  [::1]:8080:[fdaa::3]:80       IPv6 in brackets
  8000-8010, 8000-8010:db:9000-9010
  0:localhost:3000              any free port, which is said
  5353:10.0.0.1:53/udp          UDP, with -L alone
  /tmp/pg.sock:/run/postgresql/.s.PGSQL.5432, 8080:/run/x.sock
  Others than this computer, or the vault, may connect only with --gateway.

  A console forwards by itself what begins to listen while it runs, to the same
  port here or the next that is free, and stops with the program: ports from 1024
  to 32767, or those that auto_forward_ports names. ~P lists them, ~p switches
  one; --auto-forward on, notify or off goes before auto_forward.

  fly-vault forward VAULT SPEC... [-R SPEC] [-D SPEC]    until Ctrl-C
  fly-vault forward ls | add SPEC | rm PORT              while one runs
`,
  escapes: `ESCAPE KEYS
  At the start of a line, with a terminal:
    ~.   leave; the session goes on
    ~~   send ~
    ~x   end the session: asks, then hangs up (SIGHUP)
    ~#   forwards
    ~C   command line: -L SPEC adds a forward, -KL PORT takes it away
    ~P   what programs of the vault listen on
    ~p   forward one of those ports, or stop it: its number, then Enter
    ~s   how the link is
    ~r   reconnect now
    ~B   break: interrupt what is in the foreground (SIGINT)
    ~^Z  suspend this client (fg brings it back)
    ~?   this list
  They act at once, whatever the link, the session or the window does; before
  there is a session ~. does what Ctrl-C does. Anything else after ~ is passed on,
  and all of a paste, where the terminal marks one.
  --escape '^]' or another character takes the place of ~; --escape none
  switches them off.
`,
  json: `JSON
  With --json a result is one document on stdout, one line, UTF-8:
    {"schema":"fly-vault/NAME","version":1,"data":...}
  Members may be added; one that changes or goes gets another version. Absent is
  null, times are RFC 3339 in UTC, sizes are bytes. Characters that would steer a
  terminal are written as \\u escapes, in names of others as well. An error of
  fly-vault itself is one line on stderr:
    {"error":{"code","message","cause","fix","exit"}}

  How a session ended (sessions, wait, exit-status), all null while it runs:
    exit_code   0 to 255, as wait returns it
    ended_by    "exit", "signal", "timeout" or "out-of-memory"
    signal      "SIGTERM", or null where it was none

  --status-fd N of connect, exec and attach writes exit-status when it is over;
  left says that the session goes on without us. Commands that take long print a
  line for each event, and {"type":"result",...} as the last one.

  list-exec prints a bare array, without a schema: fly-vault list-exec --help.
`,
  "exit-codes": `EXIT CODES
    0    done
    1    failed for a reason not below
    2    usage: bad flag, argument, configuration value
    3    not found: vault, session, file
    4    access token missing or refused
    5    attestation stopped it
    6    could not reach: network, machine not up, busy
    7    conflict: port in use, session taken over
    8    partly done
    9    versions do not fit
  124    --timeout ran out
  125    the command could not be started
  126    found but not executable
  127    not found
  128+n  ended by signal n (130 Ctrl-C, 143 TERM, 129 HUP)
  255    no link, or lost for good
  connect, exec, attach and wait otherwise return the remote code, 0 to 255.
  124, 126, 127 and 128+n may be the command's own as well: --status-fd N says
  whose it was (fly-vault help json). logs, sessions, kill and run return 0 when
  they did what they were asked, whatever becomes of the command.
  Every error has a code: fly-vault explain CODE.
`,
  link: `BACKGROUND LINK
  The first command to a vault starts a small process that keeps the attested
  connection; later ones use it and need not dial. Only programs of the same user
  get to it, by a socket in $XDG_RUNTIME_DIR/fly-vault, else in link/ in the state
  folder. It never prints. It ends

    10 minutes after its last command     (link_idle of the vault)
    when the vault changes in the configuration, and with its folder, at logout
    with token set, trust, vault rm and stop of its vault
    with SIGHUP or SIGTERM, or fly-vault link stop

  and what it has proven for 8 hours is proven anew for the next command. A vault
  whose configuration, token or program is another one gets a link of its own.

  What moves much dials by itself, which is faster once it goes: forward, and what
  is known to send 64 MiB or more of files or an archive.
  --link makes it share, and so does a token that a program has to be asked for.

  Without it: --no-link, FLY_VAULT_NO_LINK=1, link_idle = "0s". In CI there is none
  unless --link asks for it.

    fly-vault link ls                     which there are
    fly-vault exec --timing my-dev true   whether one was used
`,
} as const;
