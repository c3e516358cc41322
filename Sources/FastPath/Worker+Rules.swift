import InterCore
import Wire

/// Which connections are somebody's business. Small tables, walked only for SYNs and first requests.
extension Worker {
    /// The destination that a route gives a connection: a proxy, `.none` for the origin, nil without a route.
    mutating func route(of key: FlowKey) -> ProxyIndex? {
        var index = 0
        while index < Int(rules.routeCount) {
            let rule = rules.routes + index
            if rule.pointee.mismatch(key) == nil { return rule.pointee.proxy }
            index &+= 1
        }
        return nil
    }

    /// Bits of the candidate rules that match; a canary's lot is drawn here, once for a connection.
    mutating func candidateRules(of key: FlowKey, hash: UInt64, overUDP: Bool = false) -> UInt64 {
        var bits: UInt64 = 0
        var index = 0
        while index < Int(rules.candidateCount) {
            let rule = rules.candidates + index
            if rule.pointee.applications.isOverUDP == overUDP, rule.pointee.mismatch(key) == nil,
                rule.pointee.mode.takes(hash: hash)
            {
                bits |= 1 &<< UInt64(index)
            }
            index &+= 1
        }
        return bits
    }

    /// Bits of the rules that the flow comes under: made anew when the rules have changed since its SYN.
    mutating func rules(of flow: Flow) -> UInt64 {
        let prelude = flows.prelude(flow)
        if prelude.pointee.rulesGeneration != rules.generation {
            let key = flows.key(of: flow)
            prelude.pointee.rules = candidateRules(
                of: key.key, hash: flowHash(of: key, seed: configuration.hashSeed))
            prelude.pointee.rulesGeneration = rules.generation
        }
        return prelude.pointee.rules
    }

    /// True for TCP connections that some rule could have transferred, whatever its lot.
    mutating func matchesCandidate(_ key: FlowKey) -> Bool {
        var index = 0
        while index < Int(rules.candidateCount) {
            let rule = rules.candidates + index
            if rule.pointee.mode != .off, !rule.pointee.applications.isOverUDP, rule.pointee.mismatch(key) == nil {
                return true
            }
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
    mutating func applications(_ bits: UInt64) -> Application {
        var found: Application = []
        var rest = bits
        while rest != 0 {
            found.formUnion(rules.candidates[rest.trailingZeroBitCount].applications)
            rest &= rest &- 1
        }
        return found
    }

    /// Rules of a set that are about one application.
    mutating func rules(_ set: UInt64, for application: Application) -> UInt64 {
        var kept: UInt64 = 0
        var rest = set
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            if rules.candidates[index].applications.contains(application) { kept |= 1 &<< UInt64(index) }
            rest &= rest &- 1
        }
        return kept
    }

    mutating func wantsOnlySMTP(_ flow: Flow) -> Bool { applications(rules(of: flow)) == .smtp }

    /// A set's first rule says whether the SYN/ACK can be seen.
    mutating func isAsymmetric(_ bits: UInt64) -> Bool {
        rules.candidates[bits.trailingZeroBitCount].isAsymmetric
    }

    /// Rules of a set that a request satisfies.
    mutating func suitableRules(_ bits: UInt64, _ request: RecognisedRequest) -> UInt64 {
        var kept: UInt64 = 0
        var rest = bits
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            if rules.candidates[index].mismatch(request) == nil { kept |= 1 &<< UInt64(index) }
            rest &= rest &- 1
        }
        return kept
    }

    /// True when some rule of a set does more than observe.
    mutating func holds(_ bits: UInt64) -> Bool {
        var rest = bits
        while rest != 0 {
            if rules.candidates[rest.trailingZeroBitCount].mode != .observe { return true }
            rest &= rest &- 1
        }
        return false
    }

    mutating func wantsHold(_ flow: Flow) -> Bool { holds(rules(of: flow)) }
}
