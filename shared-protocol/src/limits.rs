//! Every bound of the wire, in one place. Reaching one has a defined answer, named beside it.

use std::time::Duration;

/// The protocol version spoken by this build; frames carry it as `v`.
pub const PROTOCOL_VERSION: u16 = 1;
/// Every protocol version this build speaks, best first; a peer that speaks none of them is closed with 4406.
pub const SUPPORTED_VERSIONS: [u16; 1] = [PROTOCOL_VERSION];
/// The WebSocket subprotocol of a session.
pub const SUBPROTOCOL: &str = "probeops.v1";
/// The path of a session on the agent port.
pub const SESSION_PATH: &str = "/agent/v1/session";
/// The path of an enrolment on the agent port.
pub const ENROL_PATH: &str = "/agent/v1/enrol";
/// The path on the agent port at which an agent asks for a package.
pub const PACKAGE_PATH: &str = "/agent/v1/observe/packages";
/// The path on the agent port at which an agent says what its observer made of one.
pub const PACKAGE_TOLD_PATH: &str = "/agent/v1/observe/packages/told";

/// Longest WebSocket frame an agent may send, bytes; longer ends the session with 1009.
pub const AGENT_FRAME_BYTES: usize = 256 * 1024;
/// Longest message an agent may send, bytes; longer ends the session with 1009.
pub const AGENT_MESSAGE_BYTES: usize = 1024 * 1024;
/// Longest WebSocket frame a server may send, bytes.
pub const SERVER_FRAME_BYTES: usize = 64 * 1024;
/// Longest message a server may send, bytes.
pub const SERVER_MESSAGE_BYTES: usize = 256 * 1024;
/// Most bytes kept for a peer that does not read; more ends the session with 1013.
pub const WRITE_BUFFER_BYTES: usize = 256 * 1024;
/// Size of the WebSocket read buffer, bytes: what an idle session costs.
pub const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Most bytes of a frame not yet handed to the kernel, so that control can overtake bulk (`TCP_NOTSENT_LOWAT`).
pub const UNSENT_BYTES: u32 = 16 * 1024;

/// Deepest nesting of JSON, counting the outermost value as 1.
pub const JSON_DEPTH: usize = 32;
/// Longest JSON string, bytes.
pub const JSON_STRING_BYTES: usize = 64 * 1024;
/// Most elements of a JSON array or members of an object.
pub const JSON_ELEMENTS: usize = 10_000;

/// Longest piece of a report in one frame, bytes.
pub const REPORT_CHUNK_BYTES: usize = 16 * 1024;
/// Longest report, bytes; a probe truncates its findings before it reaches it. All but those of sweeps are far shorter.
pub const REPORT_BYTES: usize = 4 * 1024 * 1024;
/// Most elements of an array in a report: one for each target of the largest sweep.
pub const REPORT_ELEMENTS: usize = 65_536;
/// Most events kept for a running job, bytes; older ones are forgotten, the report holds every finding.
pub const EVENT_RING_BYTES: usize = 256 * 1024;
/// Most partial findings in one `event` frame.
pub const EVENTS_PER_FRAME: usize = 256;
/// Shortest time between two `event` frames of one job.
pub const EVENT_COALESCE: Duration = Duration::from_millis(100);

/// Most jobs an agent may name in one `hello`, and most jobs it may hold.
pub const JOBS_IN_HAND: usize = 1_024;
/// Longest text an agent may say about itself (version, host name, reason), bytes.
pub const AGENT_TEXT_BYTES: usize = 255;
/// Most network interfaces an agent tells of in `hello` and in a `keepalive`; more of them ends the session with 4400.
pub const HOST_INTERFACES: usize = 32;
/// Most addresses of one interface in `hello`.
pub const HOST_ADDRESSES: usize = 16;
/// Most disks in a `keepalive`.
pub const HOST_DISKS: usize = 16;
/// Most observations that an agent tells of in `hello`.
pub const OBSERVATIONS: usize = 64;
/// Most pieces of standing work of one agent: an agent leaves out what is beyond, and the control plane accepts none.
pub const STANDING_ITEMS: usize = 32;
/// Most reports an agent sends ahead of their acknowledgement.
pub const REPORT_WINDOW: usize = 32;

/// Time between two keepalives, before the ± 10 % of jitter.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Keepalive intervals without one byte after which a session is dead.
pub const KEEPALIVES_MISSED: u32 = 3;
/// Longest time from accepted connection to `hello`.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages a second that an agent may send beyond its jobs' events and reports; more ends the session with 4429.
pub const MESSAGES_PER_SECOND: u32 = 200;
/// How many of those messages may come at once.
pub const MESSAGE_BURST: u32 = 400;

/// Shortest deadline of a job, relative to its acceptance.
pub const DEADLINE_MIN: Duration = Duration::from_secs(1);
/// Deadline of a job whose measurement names none.
pub const DEADLINE_DEFAULT: Duration = Duration::from_mins(10);
/// Longest deadline of a job.
pub const DEADLINE_MAX: Duration = Duration::from_hours(24);
/// Time after the deadline at which a job without a report is ended by the server.
pub const DEADLINE_GRACE: Duration = Duration::from_secs(30);
/// Highest cost of one job, agent-seconds; the lowest is 1.
pub const COST_MAX: u32 = 10;

/// Longest body of an HTTP API request, bytes (413 above).
pub const HTTP_BODY_BYTES: usize = 1024 * 1024;
/// Longest body of an enrolment, bytes (413 above).
pub const ENROL_BODY_BYTES: usize = 16 * 1024;
/// Longest package of an observation, bytes of its text (413 above).
pub const PACKAGE_BYTES: usize = 512 * 1024;
/// Longest certificate signing request, bytes of DER.
pub const CSR_BYTES: usize = 4 * 1024;
