package import CRTP
internal import Wire

/// Blobs that agents send, and those that are sent to them.
package struct BlobTraffic: Sendable {
    package var arriving = BlobReceiver()
    /// By the place of the proxy that gets them.
    package var leaving: [Int: BlobSender] = [:]

    /// Of senders whose channel has ended.
    private var former: [String: UInt64] = [:]

    package init() {}

    /// The proxy's channel has ended: what was on its way to it is given up.
    package mutating func forget(_ proxy: Int) {
        guard let sender = leaving.removeValue(forKey: proxy) else { return }
        for (name, value) in sender.counters.named { former[name, default: 0] += value }
    }

    /// For metrics: what became of the fragments and blobs of all channels, by way and by name.
    package var counts: [String: UInt64] {
        var sent = former
        for sender in leaving.values { for (name, value) in sender.counters.named { sent[name, default: 0] += value } }
        var counts = Dictionary(uniqueKeysWithValues: sent.map { ("sent_\($0)", $1) })
        for (name, value) in arriving.counters.named { counts["received_\(name)"] = value }
        return counts
    }

    package func hasRoom(for bytes: Int, to proxy: Int) -> Bool { leaving[proxy]?.hasRoom(for: bytes) ?? true }

    package var nextDeadline: UInt64? {
        ([arriving.nextDeadline] + leaving.values.map(\.nextDeadline)).compactMap { $0 }.min()
    }
}

// What is under way on a connection goes along with its TRANSFER.
extension ControlCore {
    /// A connection whose client waits for the rest of an answer waits longer than one that waits for a first byte.
    package static var blobPatience: UInt64 { 10_000_000 }

    package mutating func sendAlong(
        _ bytes: [UInt8], with request: TransferRequest, to proxy: Int, within limit: UInt64,
        _ timing: inout TransferTiming,
        now: UInt64
    ) {
        guard let blob = request.transfer.blob else { return }
        timing.timeoutMicroseconds = limit
        timing.retransmissionMicroseconds = 100_000
        timing.retransmissions = 30
        timing.isMeasured = false
        var sender =
            blobs.leaving.removeValue(forKey: proxy)
            ?? BlobSender(initiateBytes: configuration.crtp.channel.initiateBytes)
        _ = sender.send(bytes, identifier: blob.identifier, now: now)
        keep(sender, proxy, now: now)
    }

    package mutating func receive(_ fragment: BlobFragment, _ frame: Frame, from proxy: Int, now: UInt64) {
        let receipt = blobs.arriving.receive(fragment, attempt: frame.attempt, from: proxy, now: now)
        // Offers name them.
        blobs.arriving.completed.removeAll()
        guard let receipt else { return }
        _ = send(Frame(.blobReceipt(receipt), transaction: frame.transaction, attempt: frame.attempt), to: proxy)
    }

    package mutating func receive(_ receipt: BlobReceipt, _ frame: Frame, from proxy: Int, now: UInt64) {
        guard var sender = blobs.leaving.removeValue(forKey: proxy) else { return }
        sender.receive(receipt, attempt: frame.attempt, now: now)
        keep(sender, proxy, now: now)
    }

    package mutating func advanceBlobs(to now: UInt64) {
        blobs.arriving.advance(to: now)
        for proxy in blobs.leaving.keys {
            guard let deadline = blobs.leaving[proxy]?.nextDeadline, deadline <= now,
                var sender = blobs.leaving.removeValue(forKey: proxy)
            else { continue }
            sender.advance(to: now)
            keep(sender, proxy, now: now)
        }
    }

    /// Carries out what it wants. Whether a blob has arrived does not matter here: its TRANSFER is answered or not.
    private mutating func keep(_ sender: consuming BlobSender, _ proxy: Int, now: UInt64) {
        for action in sender.actions {
            if case .send(let frame) = action { _ = send(frame, to: proxy) }
        }
        sender.actions.removeAll(keepingCapacity: true)
        blobs.leaving[proxy] = sender
    }
}
