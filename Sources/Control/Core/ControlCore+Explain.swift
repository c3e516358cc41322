package import CRTP
public import InterCore
package import Wire

// What would become of a request, by the code that decides it: rules, policy and selection are asked, and left as they
// are.
extension ControlCore {
    /// - Parameter answer: to `beginFind`, with the connection's flow if there is one.
    public func explain(_ question: ExplainQuestion, answer: FlowAnswer?, now: UInt64) -> Explanation {
        var explanation = Explanation()
        explanation.bypass = isBypassed
        explanation.recovering = isRecovering
        explanation.routes = explainRoutes(question)
        explanation.rules = configuration.rules.indices.map { explainRule($0, question) }
        decide(question, &explanation, now: now)
        if let answer { describe(answer, &explanation, now: now) }
        return explanation
    }

    /// The worker that owns a connection.
    package func owner(of key: FlowKey) -> Int { flowOwner(of: key, seed: hashSeed, workerCount: workerCount) }

    private func describe(_ answer: FlowAnswer, _ explanation: inout Explanation, now: UInt64) {
        guard let flow = answer.rows.first else { return }
        explanation.flow = answer.page.flows.first
        if let slot = transfers.slot(handle: flow.handle) {
            explanation.transfer = transferRow(slot, now: now)
        }
    }

    // MARK: routes and rules

    private func explainRoutes(_ question: ExplainQuestion) -> [Explanation.Verdict] {
        var isDecided = false
        return configuration.routes.map { route in
            var verdict = Explanation.Verdict()
            verdict.name = "to \(route.proxy ?? "origin")"
            let mismatch = route.match.mismatch(question.connection)
            (verdict.verdict, verdict.reason) = judge(
                mismatch, question, ports: route.match.firstPort...route.match.lastPort, client: route.match.client,
                server: route.match.server)
            if verdict.verdict == "decides" {
                if isDecided { verdict.verdict = "later" }
                isDecided = true
            }
            return verdict
        }
    }

    /// What keeps a rule from being for the connection or the request; `decides` when nothing does, of whichever rule.
    private func explainRule(_ index: Int, _ question: ExplainQuestion) -> Explanation.Verdict {
        let rule = configuration.rules[index]
        var verdict = Explanation.Verdict()
        verdict.name = rule.name
        let match = rule.match
        func say(_ word: String, _ reason: String) -> Explanation.Verdict {
            (verdict.verdict, verdict.reason) = (word, reason)
            return verdict
        }
        if match.mode == .off { return say("no", "its mode is off") }
        let (word, reason) = judge(
            match.mismatch(question.connection), question, ports: match.firstPort...match.lastPort,
            client: match.client, server: match.server)
        if word == "no" { return say(word, reason) }
        // What is known against it counts more than what is not known.
        if let against = explainRequest(index, question) { return say("no", against) }
        if word == "depends" { return say(word, reason) }
        if case .canary(let percent) = match.mode {
            guard question.isWholeConnection else {
                return say("depends", "canary: \(percent) of 100 connections, by their addresses and ports")
            }
            let hash = flowHash(of: question.connection, seed: hashSeed)
            if !match.mode.takes(hash: hash) { return say("no", "canary: not one of its \(percent) in 100") }
        }
        if question.request == nil, !rule.hosts.isEmpty || !rule.paths.isEmpty {
            return say("depends", "on the request's host and path")
        }
        return say("decides", match.mode == .observe ? "mode observe" : "")
    }

    private func judge(
        _ mismatch: ConnectionMismatch?, _ question: ExplainQuestion, ports: ClosedRange<UInt16>,
        client: AddressPrefix, server: AddressPrefix
    ) -> (verdict: String, reason: String) {
        switch mismatch {
        case .port: return ("no", "port \(question.connection.serverPort) is not in \(text(ports))")
        case .server where question.knowsServer:
            return ("no", "server \(question.connection.server) is not in \(server)")
        // A worker looks at the server first; a client that is known and does not fit is reason enough.
        case .server, .client:
            if question.knowsClient, !client.contains(question.connection.client) {
                return ("no", "client \(question.connection.client) is not in \(client)")
            }
            return mismatch == .server
                ? ("depends", "on the server: is it in \(server)?") : ("depends", "on the client: is it in \(client)?")
        case nil: return ("decides", "")
        }
    }

    /// Why a rule is not for the request; nil when it is, or nothing is known of the request.
    private func explainRequest(_ index: Int, _ question: ExplainQuestion) -> String? {
        guard let asked = question.request, case .request(let request) = asked.recognition else { return nil }
        let rule = configuration.rules[index]
        switch rule.match.mismatch(request) {
        case .application:
            return "application \(request.application.name) is not one of \(rule.match.applications.name)"
        case .credentials: return "the request has credentials, and the rule is not public"
        case nil: break
        }
        return asked.bytes.withUnsafeBytes { bytes in
            switch policy.mismatch(rule: index, request, payload: bytes) {
            case .off: "its mode is off"
            case .host: "host '\(text(request.host, bytes))' is not one of \(rule.hosts.joined(separator: ", "))"
            case .path: "path '\(text(request.path, bytes))' is not one of \(rule.paths.joined(separator: ", "))"
            case .dubiousPath: "path '\(text(request.path, bytes))' has dot segments, which servers read differently"
            case .notHTTP: "the rule has paths, and \(request.application.name) has none"
            case nil: nil
            }
        }
    }

    private func text(_ range: ByteRange, _ bytes: UnsafeRawBufferPointer) -> String {
        String(decoding: range.of(bytes), as: UTF8.self)
    }

    // MARK: the decision

    private func decide(_ question: ExplainQuestion, _ explanation: inout Explanation, now: UInt64) {
        let matching = explanation.rules.indices.filter { explanation.rules[$0].verdict == "decides" }
        // Of the matching rules only one decides.
        for rule in matching { explanation.rules[rule].verdict = "later" }
        if let route = explanation.routes.first(where: { $0.verdict == "decides" }) {
            explanation.outcome = "routed"
            explanation.summary = "a route gives the connection \(route.name); nobody is asked"
            return
        }
        if case .unsuitable(let reason)? = question.request?.recognition {
            explanation.outcome = "unsuitable"
            explanation.summary = "to the origin: the request cannot be taken over (\(reason))"
            return
        }
        let possible = explanation.rules.indices.filter { explanation.rules[$0].verdict == "depends" }
        guard !matching.isEmpty || !possible.isEmpty else {
            explanation.outcome = "passes"
            explanation.summary = "to the origin: no rule is for it"
            return
        }
        guard let asked = question.request, case .request(let request) = asked.recognition else {
            explanation.outcome = "candidate"
            let names = (matching + possible).sorted().map { configuration.rules[$0].name }
            for rule in matching {
                (explanation.rules[rule].verdict, explanation.rules[rule].reason) = ("depends", "on the request")
            }
            explanation.summary = "a candidate: its first request is read for \(names.joined(separator: ", "))"
            finish(&explanation, possible: [])
            return
        }
        if let first = matching.first {
            decide(question, request, asked.bytes, matching, first, &explanation, now: now)
            finish(&explanation, possible: possible.filter { $0 < first })
        } else {
            explanation.outcome = "passes"
            explanation.summary = "to the origin"
            finish(&explanation, possible: possible)
        }
    }

    /// The policy itself decides, for a request that is held by the rules that match.
    private func decide(
        _ question: ExplainQuestion, _ request: RecognisedRequest, _ bytes: [UInt8], _ matching: [Int], _ first: Int,
        _ explanation: inout Explanation, now: UInt64
    ) {
        let held = HeldRequest(
            handle: FlowHandle(worker: 0, index: 0, generation: 0), connection: Self.usual(question.connection),
            request: request, rules: matching.reduce(0) { $0 | (1 << UInt64($1)) }, recognisedAt: 0,
            heldLength: UInt32(bytes.count), payloadLength: UInt16(min(bytes.count, HeldRequest.maximumPayload)))
        let decision = bytes.withUnsafeBytes { policy.decide(held, payload: $0) }
        let rule: Int
        switch decision {
        case .ask(let index):
            rule = index
            explanation.outcome = "asked"
        case .observe(let index):
            rule = index
            explanation.outcome = "observed"
        case .decline(let reason):
            explanation.outcome = "origin"
            explanation.summary = "to the origin: \(reason)"
            explanation.rule = configuration.rules[first].name
            explanation.rules[first].verdict = "decides"
            explanation.rules[first].reason = "\(reason)"
            return
        }
        explanation.rule = configuration.rules[rule].name
        explanation.rules[rule].verdict = "decides"
        let asked = bytes.withUnsafeBytes { TransferRequest(held, rule: rule, isHeld: true, payload: $0) }
        let query = query(for: asked, except: ProxySet(), now: now)
        explainSelection(rule, query, &explanation)
        let subject = explanation.outcome == "asked" ? "held, and " : "to the origin; "
        if let proxy = explanation.proxy {
            explanation.summary = subject + "\(proxy) is asked"
        } else {
            explanation.outcome = "origin"
            explanation.summary = "to the origin: no proxy can be asked"
        }
    }

    /// A copy of the selection chooses, so that nobody's turn is used up.
    private func explainSelection(_ rule: Int, _ query: Selection.Query, _ explanation: inout Explanation) {
        var (selection, records, draws) = (selections[rule], proxies, draws)
        let chosen = selection.choose(of: &records, for: query, random: &draws)
        explanation.algorithm = selection.algorithm.name
        explanation.proxy = chosen.map { proxies[$0].configuration.name }
        explanation.proxies = selection.candidates.map { index in
            let obstacle = index == chosen ? nil : obstacle(index, query)
            return Explanation.Candidate(
                proxy: proxies[index].configuration.name, eligible: obstacle == nil, reason: obstacle ?? "",
                chosen: index == chosen)
        }
    }

    /// What keeps one of a rule's proxies from being asked for a request.
    package func obstacle(_ index: Int, _ query: Selection.Query) -> String? {
        if let reason = proxies[index].obstacle(for: query.needs, now: query.now) { return reason.rawValue }
        return query.except.contains(index) ? "was asked, or refused it lately" : nil
    }

    private func finish(_ explanation: inout Explanation, possible: [Int]) {
        if !possible.isEmpty {
            let names = possible.map { configuration.rules[$0].name }.joined(separator: ", ")
            explanation.summary += "; unless \(names) comes first, which depends on what was not said"
        }
        if isBypassed {
            explanation.summary = "to the origin: bypass is on (otherwise: \(explanation.summary))"
            explanation.outcome = "bypass"
        }
    }

    /// A connection with the options that today's hosts agree on.
    private static func usual(_ key: FlowKey) -> ConnectionState {
        ConnectionState(
            key: key, psn: SequenceNumber(0), pan: SequenceNumber(0), clientWindow: 65_535,
            serverWindowEdge: SequenceNumber(0),
            options: NegotiatedOptions(
                clientMSS: 1_460, serverMSS: 1_460, windowScale: true, sack: true, timestamps: true))
    }
}

extension Application {
    /// As in the configuration: `http-get, tls`.
    var name: String {
        let all: [(Application, String)] = [
            (.httpGet, "http-get"), (.httpOther, "http-other"), (.tls, "tls"), (.smtp, "smtp"),
        ]
        return all.filter { contains($0.0) }.map(\.1).joined(separator: ", ")
    }
}
