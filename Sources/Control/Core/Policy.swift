package import InterCore
package import Wire

/// The rules' host and path parts, compiled. The first rule that matches decides (its mode included); rules that are
/// `off` do not exist. Works on the request's own bytes and allocates nothing.
package struct Policy: Sendable {
    package enum Decision: Equatable, Sendable {
        /// Ask a proxy of this rule; the request stays held.
        case ask(rule: Int)
        /// To the origin; the proxies are asked what they would have done.
        case observe(rule: Int)
        /// To the origin, for this reason.
        case decline(TransferOutcome.Ending)
    }

    private var rules: [CompiledRule]
    private let hashSeed: UInt64

    package init(_ rules: [DirectorConfiguration.Rule], hashSeed: UInt64) {
        self.rules = rules.prefix(64).map(CompiledRule.init)
        self.hashSeed = hashSeed
    }

    /// `payload` is the head's first bytes; host and path must lie within it.
    package func decide(_ request: HeldRequest, payload: UnsafeRawBufferPointer) -> Decision {
        let isHTTP = !request.request.application.isDisjoint(with: [.httpGet, .httpOther])
        let host = request.request.host.of(payload)
        let path = request.request.path.of(payload)
        if host.isEmpty || (isHTTP && path.isEmpty) { return .decline(.tooLong) }
        var bits = request.rules
        while bits != 0 {
            let index = bits.trailingZeroBitCount
            bits &= bits - 1
            guard index < rules.count, rules[index].mismatch(host: host, path: path, isHTTP: isHTTP) == nil else {
                continue
            }
            return decide(rule: index, request)
        }
        return .decline(.noRule)
    }

    /// What keeps a rule from being for a request; nil when it is for it.
    package enum Mismatch: Equatable, Sendable {
        case off, host, path
        /// Dot segments in the path.
        case dubiousPath
        /// The rule has paths, and the application none.
        case notHTTP
    }

    package func mismatch(rule: Int, _ request: RecognisedRequest, payload: UnsafeRawBufferPointer) -> Mismatch? {
        rules[rule].mismatch(
            host: request.host.of(payload), path: request.path.of(payload),
            isHTTP: !request.application.isDisjoint(with: [.httpGet, .httpOther]))
    }

    private func decide(rule index: Int, _ request: HeldRequest) -> Decision {
        let rule = rules[index]
        if !request.request.application.isDisjoint(with: [.tls, .quic]),
            rule.alpn.isDisjoint(with: request.request.alpn)
        {
            return .decline(.protocolNotSpoken)
        }
        switch rule.mode {
        case .off: return .decline(.noRule)
        case .observe: return .observe(rule: index)
        case .on: return .ask(rule: index)
        case .canary(let percent):
            let hash = flowHash(of: request.connection.key, seed: hashSeed)
            return isCanary(hash: hash, percent: percent) ? .ask(rule: index) : .decline(.ruleSparesCanary)
        }
    }
}

private struct CompiledRule: Sendable {
    let hosts: [HostPattern]
    let paths: [PathPattern]
    let alpn: ALPN
    let mode: RuleMode

    init(_ rule: DirectorConfiguration.Rule) {
        hosts = rule.hosts.map(HostPattern.init)
        paths = rule.paths.map(PathPattern.init)
        alpn = rule.alpn
        mode = rule.match.mode
    }

    func mismatch(host: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer, isHTTP: Bool) -> Policy.Mismatch? {
        if mode == .off { return .off }
        if !hosts.isEmpty && !hosts.contains(where: { $0.matches(host) }) { return .host }
        if paths.isEmpty { return nil }
        guard isHTTP else { return .notHTTP }
        guard PathPattern.isPlain(path) else { return .dubiousPath }
        return paths.contains { $0.matches(path) } ? nil : .path
    }
}

/// `www.example.org`, or `*.example.org` for any of its subdomains. Case does not matter (RFC 9110 section 4.2.3).
package struct HostPattern: Sendable, Equatable {
    private let suffix: [UInt8]
    private let isWildcard: Bool

    package init(_ text: String) {
        isWildcard = text.hasPrefix("*.")
        suffix = (isWildcard ? text.dropFirst() : text[...]).utf8.map(lowercased)
    }

    package func matches(_ host: UnsafeRawBufferPointer) -> Bool {
        guard isWildcard ? host.count > suffix.count : host.count == suffix.count else { return false }
        let start = host.count - suffix.count
        for index in 0..<suffix.count where lowercased(host[start + index]) != suffix[index] { return false }
        return true
    }
}

/// `/videos/*` for a prefix, `/index.html` for one path. The query is not part of the path (RFC 9110 section 4.2.1).
package struct PathPattern: Sendable, Equatable {
    private let bytes: [UInt8]
    private let isPrefix: Bool

    package init(_ text: String) {
        isPrefix = text.hasSuffix("*")
        bytes = Array((isPrefix ? text.dropLast() : text[...]).utf8)
    }

    package func matches(_ target: UnsafeRawBufferPointer) -> Bool {
        let length = target.firstIndex(of: UInt8(ascii: "?")) ?? target.count
        guard isPrefix ? length >= bytes.count : length == bytes.count else { return false }
        for index in 0..<bytes.count where target[index] != bytes[index] { return false }
        return true
    }

    /// False for a path that names another one once dot segments are removed, or that hides its dots by percent
    /// encoding (RFC 3986 section 5.2.4): two servers could read it differently.
    package static func isPlain(_ target: UnsafeRawBufferPointer) -> Bool {
        let length = target.firstIndex(of: UInt8(ascii: "?")) ?? target.count
        for index in 0..<length {
            let next = index + 1 < length ? target[index + 1] : 0
            let afterNext = index + 2 < length ? target[index + 2] : 0
            switch target[index] {
            case UInt8(ascii: "/"):
                guard next == UInt8(ascii: ".") else { continue }
                let isSegmentEnd = { (byte: UInt8) in byte == 0 || byte == UInt8(ascii: "/") }
                let third = index + 3 < length ? target[index + 3] : 0
                if isSegmentEnd(afterNext) || (afterNext == UInt8(ascii: ".") && isSegmentEnd(third)) { return false }
            case UInt8(ascii: "%"):
                if next == UInt8(ascii: "2"), lowercased(afterNext) == UInt8(ascii: "e") { return false }
            default: continue
            }
        }
        return true
    }
}

func lowercased(_ byte: UInt8) -> UInt8 {
    byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
}
