internal import CRTP
internal import Wire

// A proxy that an operator wants empty: its agent is asked for each connection that it has of this director, offers it as
// soon as it can (ControlCore+Moves), and others go on with it. What cannot move ends where it is.
extension ControlCore {
    package mutating func evacuate(_ proxy: Int, now: UInt64) {
        guard proxies[proxy].agent?.capabilities.contains(.blobs) == true else {
            log(.warning, "proxy is drained only: its agent cannot hand back what is under way") {
                [("proxy", $0.proxies[proxy].configuration.name)]
            }
            return
        }
        evacuations[proxy] = Evacuation(leavable(proxy), now: now)
        advanceEvacuations(to: now)
    }

    /// A connection has become the proxy's, which is to be empty: it was asked for before.
    package mutating func wantBack(_ slot: Int) {
        guard !transfers[slot].machine.isOfDatagrams else { return }
        evacuations[transfers[slot].proxy]?.want(transfers[slot].transaction)
    }

    package mutating func advanceEvacuations(to now: UInt64) {
        for proxy in evacuations.keys {
            if let round = evacuations[proxy]?.nextRound, round <= now {
                let left = leavable(proxy)
                evacuations[proxy]?.begin(left, now: now)
            }
            for transfer in evacuations[proxy]?.due(at: now) ?? [] {
                guard let slot = transfers.slot(proxy: proxy, transaction: transfer),
                    transfers[slot].machine.state == .committed, moves.number(source: slot) == nil
                else {
                    evacuations[proxy]?.isOver(transfer)
                    continue
                }
                let wish = Terminate(
                    cause: .handBack, transfer: transfer, psn: transfers[slot].psn ?? SequenceNumber(0))
                _ = send(Frame(.terminate(wish), transaction: transfer), to: proxy)
            }
        }
    }

    /// Connections of the proxy that could go elsewhere.
    private func leavable(_ proxy: Int) -> [UInt32] {
        guard proxies[proxy].committed > 0 else { return [] }
        return transfers.slotsInUse.filter {
            transfers[$0].proxy == proxy && transfers[$0].machine.state == .committed
                && !transfers[$0].machine.isOfDatagrams && moves.number(source: $0) == nil
        }.map { transfers[$0].transaction }
    }
}
