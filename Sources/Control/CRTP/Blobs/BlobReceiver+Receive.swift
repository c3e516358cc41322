// A fragment comes, and most are answered.
extension BlobReceiver {
    /// What is to be answered to a fragment that came from `peer` (any number that tells the caller's peers apart), in a
    /// frame with that frame's transaction and attempt; nil when no answer is due. `attempt` is the frame's.
    package mutating func receive(
        _ fragment: BlobFragment, attempt: UInt8, from peer: Int, now: UInt64
    ) -> BlobReceipt? {
        advance(to: now)
        counters.fragments += 1
        guard fragment.isConsistent else {
            counters.malformed += 1
            return nil
        }
        if held[fragment.blob] != nil { return add(fragment, attempt: attempt, from: peer, now: now) }
        if let memory = memories[fragment.blob] {
            guard memory.length == fragment.length, memory.checksum == fragment.checksum else {
                counters.contradictions += 1
                return nil
            }
            switch memory.fate {
            case .taken:
                counters.duplicates += 1
                return receipt(.complete, fragment)
            case .refused(let reason):
                counters.refusedAgain += 1
                return receipt(.refused(reason), fragment)
            case .damagedOnce: return begin(fragment, from: peer, isSecondTry: true, now: now)
            }
        }
        return begin(fragment, from: peer, isSecondTry: false, now: now)
    }

    /// The bounds come before the memory.
    private mutating func begin(
        _ fragment: BlobFragment, from peer: Int, isSecondTry: Bool, now: UInt64
    ) -> BlobReceipt? {
        let length = Int(fragment.length)
        guard length <= limits.longest else {
            counters.refusedTooBig += 1
            return receipt(.refused(.tooBig), fragment)
        }
        let share = shares[peer] ?? (0, 0)
        guard share.blobs < limits.blobsPerPeer, share.bytes + length <= limits.bytesPerPeer,
            held.count < limits.blobs, bytesHeld + length <= limits.bytes
        else {
            counters.refusedBusy += 1
            return receipt(.refused(.busy), fragment)
        }
        shares[peer] = (share.blobs + 1, share.bytes + length)
        bytesHeld += length
        counters.begun += 1
        held[fragment.blob] = Held(
            length: fragment.length, checksum: fragment.checksum, count: fragment.count,
            fragmentBytes: fragment.fragmentBytes, peer: peer, bytes: [UInt8](repeating: 0, count: length),
            bitmap: [UInt8](repeating: 0, count: (Int(fragment.count) + 7) / 8), missing: Int(fragment.count),
            lastPeer: peer, expires: 0, isSecondTry: isSecondTry)
        return add(fragment, attempt: 0, from: peer, now: now)
    }

    /// A fragment of a blob that is held.
    private mutating func add(
        _ fragment: BlobFragment, attempt: UInt8, from peer: Int, now: UInt64
    ) -> BlobReceipt? {
        guard held[fragment.blob]?.agrees(with: fragment) == true else {
            counters.contradictions += 1
            return nil
        }
        let expires = nextExpiry(now)
        guard let news = held[fragment.blob]?.add(fragment, from: peer, expires: expires) else { return nil }
        switch news {
        case .duplicate: counters.duplicates += 1
        case .kept: counters.kept += 1
        case .whole:
            counters.kept += 1
            if let refusal = judge(fragment.blob, now: now) { return receipt(.refused(refusal), fragment) }
            completed.append(fragment.blob)
        }
        if held[fragment.blob]?.isWhole == true { return receipt(.complete, fragment) }
        // A copy that was sent again is one that the sender waits for.
        guard held[fragment.blob]?.isReceiptDue == true || attempt > 0 else { return nil }
        return held[fragment.blob]?.receipt(fragment)
    }

    /// Of a blob whose last missing fragment has come: nil when it is what its checksum says.
    private mutating func judge(_ identifier: UInt64, now: UInt64) -> BlobRefusal? {
        guard let blob = held[identifier], CRC32C.of(blob.bytes) != blob.checksum else { return nil }
        counters.checksumFailures += 1
        drop(identifier)
        remember(identifier, blob, blob.isSecondTry ? .refused(.checksum) : .damagedOnce, now: now)
        return .checksum
    }

    private func receipt(_ state: BlobReceipt.State, _ fragment: BlobFragment) -> BlobReceipt {
        BlobReceipt(blob: fragment.blob, state: state, index: fragment.index)
    }
}

extension BlobReceiver.Held {
    enum News { case duplicate, kept, whole }

    func agrees(with fragment: BlobFragment) -> Bool {
        fragment.length == length && fragment.checksum == checksum && fragment.count == count
            && fragment.fragmentBytes == fragmentBytes
    }

    var isReceiptDue: Bool { sinceReceipt >= BlobReceiver.fragmentsPerReceipt }

    /// What comes first, beside a gap, twice or by another peer makes a receipt due; so do four that come in order. The
    /// last one is beside a gap, if the blob is not whole with it.
    mutating func add(_ fragment: BlobFragment, from peer: Int, expires: UInt64) -> News {
        let index = Int(fragment.index)
        let isInOrder = index == highest + 1 && Int(count) - missing == index
        let isExpected = isInOrder && index > 0 && peer == lastPeer
        sinceReceipt = isExpected ? sinceReceipt + 1 : BlobReceiver.fragmentsPerReceipt
        lastPeer = peer
        self.expires = expires
        guard bitmap[index / 8] & 1 << (index % 8) == 0 else { return .duplicate }
        highest = max(highest, index)
        bitmap[index / 8] |= 1 << (index % 8)
        missing -= 1
        let range = BlobFragment.range(of: index, length: Int(length), fragmentBytes: Int(fragmentBytes))
        bytes.replaceSubrange(range, with: fragment.bytes)
        return missing == 0 ? .whole : .kept
    }

    /// How far it has come; the bitmap ends with the highest fragment.
    mutating func receipt(_ fragment: BlobFragment) -> BlobReceipt {
        sinceReceipt = 0
        return BlobReceipt(
            blob: fragment.blob, state: .receiving, index: fragment.index,
            bitmap: Array(bitmap.prefix(highest / 8 + 1)))
    }
}
