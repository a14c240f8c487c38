// The default theme without its font, whose files would be most of the site: the fonts of the system do.
import theme from 'vitepress/theme-without-fonts'
import './style.css'

export default theme
