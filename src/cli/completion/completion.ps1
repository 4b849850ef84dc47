# Completion of fail-start for PowerShell. The program itself says what can come next.
Register-ArgumentCompleter -Native -CommandName 'fail-start', 'fail-start.exe' -ScriptBlock {
    param($current, $line, $cursor)
    # The words before the cursor, without their quotes, the last one up to it.
    $elements = @($line.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursor })
    $words = @($elements | ForEach-Object {
            $is_text = $_ -is [System.Management.Automation.Language.StringConstantExpressionAst]
            if ($is_text -and $_.Extent.EndOffset -lt $cursor) { $_.Value } else { $_.Extent.Text }
        })
    # A new word begins. Before 7.3 PowerShell hands on no empty one, unless it is quoted twice.
    if ($elements[-1].Extent.EndOffset -lt $cursor) {
        $words += if ($PSVersionTable.PSVersion -lt [version]'7.3') { '""' } else { '' }
    } else {
        $words[-1] = $current
    }
    $program, $words = $words
    # Its output is UTF-8, whatever the console has.
    $encoding = [Console]::OutputEncoding
    try {
        [Console]::OutputEncoding = [System.Text.UTF8Encoding]::new()
        $offers = @(& $program __offer @words 2>$null)
    } finally {
        [Console]::OutputEncoding = $encoding
    }
    if ($offers[0] -match '^:command (\d+)$') {
        # As PowerShell itself has it for that command.
        $first = $elements[1 + $Matches[1]]
        if ($first) {
            $start = $first.Extent.StartOffset
            $text = $line.Extent.Text.Substring($start - $line.Extent.StartOffset).PadRight($cursor - $start)
            [System.Management.Automation.CommandCompletion]::CompleteInput($text, $cursor - $start, $null).CompletionMatches
        }
    } elseif ($offers[0] -ne ':files') {
        # Without any, and for a file, PowerShell offers its own file names.
        foreach ($offer in $offers) {
            $word, $what = $offer -split "`t", 2
            if (-not $what) { $what = $word }
            [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $what)
        }
    }
}
