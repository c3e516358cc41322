/// Letters to insert, remove, replace or swap with their neighbour to make one word of the other (optimal string
/// alignment).
func editDistance(_ left: String, _ right: String) -> Int {
    let left = Array(left.unicodeScalars.prefix(64))
    let right = Array(right.unicodeScalars.prefix(64))
    if left.isEmpty || right.isEmpty { return max(left.count, right.count) }
    var beforeLast = [Int](repeating: 0, count: right.count + 1)
    var last = Array(0...right.count)
    for i in 1...left.count {
        var row = [i]
        for j in 1...right.count {
            let replaced = last[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1)
            var best = min(replaced, last[j] + 1, row[j - 1] + 1)
            if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] {
                best = min(best, beforeLast[j - 2] + 1)
            }
            row.append(best)
        }
        (beforeLast, last) = (last, row)
    }
    return last[right.count]
}

/// The candidate that `word` was probably meant to be; nil when none is close.
package func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
    let folded = word.lowercased().replacing("_", with: "-")
    var best: (candidate: String, distance: Int)?
    for candidate in candidates {
        let distance = editDistance(folded, candidate.lowercased())
        if distance <= max(1, min(folded.count, candidate.count) / 3 + 1), distance < best?.distance ?? .max {
            best = (candidate, distance)
        }
    }
    return best?.candidate
}
