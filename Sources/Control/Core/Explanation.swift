public import InterCore
public import Wire

/// `batonctl explain`: a request or a connection that may or may not exist.
public struct ExplainQuestion: Equatable, Sendable {
    /// Addresses and ports that are not known are 0 here.
    public var connection: FlowKey
    public var knowsClient = false
    public var knowsServer = false
    /// Nil for a connection of whose request nothing is known.
    public var request: Request?

    /// A request's first bytes, and how it would be read.
    public struct Request: Equatable, Sendable {
        public var bytes: [UInt8]
        public var recognition: Recognition

        public init(bytes: [UInt8], recognition: Recognition) {
            self.bytes = bytes
            self.recognition = recognition
        }
    }

    public init(_ connection: FlowKey) { self.connection = connection }

    /// Both ends are known to the port: there may be such a flow.
    public var isWholeConnection: Bool { knowsClient && knowsServer && connection.clientPort != 0 }
}

/// What would become of it, and why: answer to `explain`.
public struct Explanation: Codable, Equatable, Sendable {
    /// `bypass`, `routed`, `unsuitable`, `passes`, `candidate`, `origin`, `observed` or `asked`.
    public var outcome = ""
    /// In a sentence.
    public var summary = ""
    /// The rule that decides.
    public var rule: String?
    /// The proxy that would be asked now.
    public var proxy: String?
    public var bypass = false
    public var recovering = false
    /// In order of precedence, before all rules.
    public var routes: [Verdict] = []
    /// In order of precedence.
    public var rules: [Verdict] = []
    /// Of the deciding rule.
    public var algorithm: String?
    public var proxies: [Candidate] = []
    /// The connection's flow, if there is one.
    public var flow: FlowStatus?
    public var transfer: TransferStatus?

    public init() {}

    /// What one rule or route says.
    public struct Verdict: Codable, Equatable, Sendable {
        public var name = ""
        /// `decides`, `later` (it matches, but another one comes first), `no`, or `depends` on what was not said.
        public var verdict = ""
        public var reason = ""
    }

    /// A proxy of the deciding rule.
    public struct Candidate: Codable, Equatable, Sendable {
        public var proxy = ""
        public var eligible = false
        /// Why not.
        public var reason = ""
        public var chosen = false

        package init(proxy: String, eligible: Bool, reason: String, chosen: Bool) {
            self.proxy = proxy
            self.eligible = eligible
            self.reason = reason
            self.chosen = chosen
        }
    }
}
