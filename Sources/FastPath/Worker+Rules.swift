import InterCore
import Wire

/// Which connections are somebody's business. Small tables, walked only for SYNs and first requests.
extension Worker {
    /// The destination that a route gives a connection: a proxy, `.none` for the origin, nil without a route.
    mutating func route(of key: FlowKey) -> ProxyIndex? {
        var index = 0
        while index < configuration.routeCount {
            let rule = configuration.routes + index
            if rule.pointee.mismatch(key) == nil { return rule.pointee.proxy }
            index &+= 1
        }
        return nil
    }

    /// Bits of the candidate rules that match; a canary's lot is drawn here, once for a connection.
    mutating func candidateRules(of key: FlowKey, hash: UInt64) -> UInt64 {
        var bits: UInt64 = 0
        var index = 0
        while index < configuration.candidateCount {
            let rule = configuration.candidates + index
            if rule.pointee.mismatch(key) == nil, rule.pointee.mode.takes(hash: hash) { bits |= 1 &<< UInt64(index) }
            index &+= 1
        }
        return bits
    }

    /// True for connections that some rule could have transferred, whatever its lot.
    mutating func matchesCandidate(_ key: FlowKey) -> Bool {
        var index = 0
        while index < configuration.candidateCount {
            let rule = configuration.candidates + index
            if rule.pointee.mode != .off, rule.pointee.mismatch(key) == nil { return true }
            index &+= 1
        }
        return false
    }

    /// True while a proxy may have a connection without an entry (rule 6). What a route gives to the origin, none has.
    mutating func isWithheld(_ packed: PackedFlowKey) -> Bool {
        guard recoveryEnds != 0 else { return false }
        let key = packed.key
        return matchesCandidate(key) && route(of: key)?.value != ProxyIndex.none.value
    }

    /// All applications that the rules of a set look for.
    mutating func applications(_ rules: UInt64) -> Application {
        var found: Application = []
        var rest = rules
        while rest != 0 {
            found.formUnion(configuration.candidates[rest.trailingZeroBitCount].applications)
            rest &= rest &- 1
        }
        return found
    }

    mutating func wantsOnlySMTP(_ flow: Flow) -> Bool { applications(flows.prelude(flow).pointee.rules) == .smtp }

    /// A set's first rule says whether the SYN/ACK can be seen.
    mutating func isAsymmetric(_ rules: UInt64) -> Bool {
        configuration.candidates[rules.trailingZeroBitCount].isAsymmetric
    }

    /// Rules of a set that a request satisfies.
    mutating func suitableRules(_ rules: UInt64, _ request: RecognisedRequest) -> UInt64 {
        var kept: UInt64 = 0
        var rest = rules
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            if configuration.candidates[index].mismatch(request) == nil { kept |= 1 &<< UInt64(index) }
            rest &= rest &- 1
        }
        return kept
    }

    /// True when some rule of a set does more than observe.
    mutating func holds(_ rules: UInt64) -> Bool {
        var rest = rules
        while rest != 0 {
            if configuration.candidates[rest.trailingZeroBitCount].mode != .observe { return true }
            rest &= rest &- 1
        }
        return false
    }

    mutating func wantsHold(_ flow: Flow) -> Bool { holds(flows.prelude(flow).pointee.rules) }
}
